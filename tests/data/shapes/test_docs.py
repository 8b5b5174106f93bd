"""The examples of docs/data.md are read as the page says."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.recognise import recognise
from kto_tui.data.shapes.shape import SHAPES

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8").partition("\n## Shapes\n")[2]
SECTIONS = re.findall(r"^### `([\w-]+)`: ([^\n]+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (shape, title, kind, text, int(records), int(rows))
    for shape, title, section in SECTIONS
    for kind, text, records, rows in re.findall(r"```(\w+)\n(.*?)```\n\n(\d+) records, (\d+) rows", section, re.DOTALL)
]


def test_every_shape_is_on_the_page() -> None:
    assert {shape for shape, *_ in EXAMPLES} == set(SHAPES)
    assert len(EXAMPLES) == PAGE.count("\n```") // 2


@pytest.mark.parametrize(("shape", "title", "kind", "text", "records", "rows"), EXAMPLES)
def test_three_lines_of_example(shape: str, title: str, kind: str, text: str, records: int, rows: int) -> None:
    sample: list[dict[str, Any]] = (
        list(csv.DictReader(io.StringIO(text))) if kind == "csv" else [json.loads(line) for line in text.splitlines()]
    )
    form = recognise(sample)[0]
    assert (form.shape, form.title) == (shape, title)
    assert form.confidence >= 0.8, form.because
    assert len(sample) == records == 3
    convert = converter(form)
    found = [row for record in sample for row in convert(record)]
    assert len(found) == rows
    assert all(row.prompt and row.completion and row.label is not None for row in found)
