"""The commands behind ``kto-tui``; each module is imported only when its command runs."""
