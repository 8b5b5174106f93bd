"""Memory of a training process outside torch's allocations on processors: Python and the training packages."""

from kto_tui.units import GIB

# Resident after the training packages are imported and before a model is loaded, measured in benchmarks/memory.py
# (torch 2.13, transformers 5.23, trl 1.16, Linux x86-64).
IMPORTS = 0.62 * GIB


def cpu_outside() -> float:
    """Bytes a training process takes on a processor before it has a model."""
    return IMPORTS
