"""Reference scores on disk: what is damaged is not taken."""

from pathlib import Path

import pytest

from kto_tui.backends.training.reference import ReferenceCache, WindowReference


@pytest.mark.parametrize("damage", [(b"-", b"+"), (b"[[", b"[0,["), (b"],", b"]")])
def test_damaged_reference_scores_are_computed_again(damage: tuple[bytes, bytes], tmp_path: Path) -> None:
    file = tmp_path / "reference" / "key.jsonl"
    cache = ReferenceCache(file)
    for window in range(2):
        cache.put(WindowReference(window, (1, 1), (-1.5, -2.5), (-3.5, -4.5)))
    assert ReferenceCache(file).read_from_disk == 2
    whole = file.read_bytes()
    broken = whole.replace(*damage, 1)
    if broken == whole:
        broken = whole.replace(b"1.5", b"1.4", 1)
    file.write_bytes(broken)
    again = ReferenceCache(file)
    assert again.read_from_disk == 1
    assert again.get(0, (1, 1)) is None
    assert again.get(1, (1, 1)) == WindowReference(1, (1, 1), (-1.5, -2.5), (-3.5, -4.5))


def test_scores_of_too_few_rows_are_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "reference" / "key.jsonl"
    ReferenceCache(file).put(WindowReference(0, (2,), (-1.5,), ()))
    assert ReferenceCache(file).read_from_disk == 0
