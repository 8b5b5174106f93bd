"""Memory of a training process beside its tensors on processors: Python, the training packages, buffers of theirs."""

from kto_tui.units import GIB

# Median of resident memory less predicted tensors over the runs of benchmarks/memory.py (torch 2.13, transformers 5.23,
# trl 1.16, Linux x86-64): 0.52 to 0.58 GiB without NF4.
BESIDE_TENSORS = 0.56 * GIB


def cpu_outside() -> float:
    """Bytes a training process takes on a processor beside its tensors."""
    return BESIDE_TENSORS
