"""Tables for people, in terminals of any width."""

import re
import sys

import pytest

from kto_tui.commands.printing import print_table

COLUMNS = ["Model", "Size", "Verdict", "Licence", "Note"]
ROWS = [
    ["acme/a-model-with-a-long-name", "135 M", "FITS", "a licence with a long name", "also good for other things"],
    ["acme/tiny", "1.2 B", "NO", "mit", ""],
]


def table(
    width: int | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *spare: str
) -> tuple[list[str], list[str]]:
    """The header's words and all lines, on a terminal of ``width`` columns or in a pipe."""
    if width is not None:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(COLUMNS, ROWS, spare or None)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    return lines[0].split(), lines


def test_a_pipe_gets_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    header, lines = table(None, capsys, monkeypatch)
    assert header == COLUMNS
    assert len(lines) == 3
    assert all(cell in line for row, line in zip(ROWS, lines[1:], strict=True) for cell in row)


@pytest.mark.parametrize(("width", "left"), [(120, 5), (74, 5), (73, 4), (54, 4), (53, 3), (34, 3), (33, 2), (25, 2)])
def test_a_narrow_terminal_gets_fewer_columns_that_can_be_read(
    width: int, left: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    header, lines = table(width, capsys, monkeypatch)
    assert header == COLUMNS[:left]
    assert any("acme/a-model-with-" in line for line in lines), "a piece as long as can be read"
    assert (lines[-1] == f"In a wider terminal also: {', '.join(COLUMNS[left:])}") is (left < len(COLUMNS))


def test_what_may_be_missing_can_be_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    header, lines = table(60, capsys, monkeypatch, "Licence", "Size")
    assert header == ["Model", "Size", "Verdict", "Note"]
    assert lines[-1].endswith("also: Licence")
    header, _ = table(46, capsys, monkeypatch, "Licence", "Size")
    assert header == ["Model", "Verdict", "Note"]
