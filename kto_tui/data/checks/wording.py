"""Counts in words, for the titles of findings."""

from kto_tui.units import count


def said(number: int, one: str, many: str) -> str:
    """A number and the words that agree with it: ``1 row has``, ``12,000 rows have``."""
    return f"{count(number)} {one if number == 1 else many}"
