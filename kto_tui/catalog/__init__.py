"""Which models there are and their shapes: the shipped catalog, local checkpoints and cached downloads."""

from kto_tui.catalog.checkpoint import read_local
from kto_tui.catalog.model import ModelSpec, config_values
from kto_tui.catalog.names import nearest, resolve
from kto_tui.catalog.shipped import find, load_catalog

__all__ = ["ModelSpec", "config_values", "find", "load_catalog", "nearest", "read_local", "resolve"]
