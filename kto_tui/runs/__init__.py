"""A run is a folder: its configuration, its event log, its control requests and the state derived from them."""
