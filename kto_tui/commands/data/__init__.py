"""``kto-tui data``: the data doctor at the command line."""
