"""Every figure is that of the rows themselves, an estimate says so, and the proposal keeps what it promises."""

import json
import math
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_tui.data.checks.finding import SHOWN_ROWS
from kto_tui.data.prepare import Settings, TokenRow
from kto_tui.data.prepare.build import build
from kto_tui.data.prepare.token_file import in_memory
from kto_tui.data.tokens.lengths import (
    CJK,
    EDGES,
    LATIN,
    OTHER,
    STEPS,
    Lengths,
    characters_per_token,
    count,
    estimate,
    findings,
)

ROWS = st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600), st.booleans()), max_size=60)
LIMITS = st.integers(1, 1300)


def counted(rows: list[tuple[int, int, bool]], *, of: int | None = None) -> Lengths:
    return count([row[:2] for row in rows], [row[2] for row in rows], of=of)


@given(ROWS, LIMITS)
def test_cut_and_dropped_rows_are_those_of_the_preparation(rows: list[tuple[int, int, bool]], limit: int) -> None:
    made = (TokenRow(line, label, (1,) * p, (2,) * c) for line, (p, c, label) in enumerate(rows, 1) if c)
    prepared = build(in_memory(made), Settings(limit, effective_batch=4, seed=0, kl=False))
    lengths = counted(rows)
    assert (lengths.cut(limit), lengths.dropped(limit)) == (len(prepared.cut), len(prepared.filled))
    assert lengths.empty == sum(not row[1] for row in rows)


@given(ROWS, st.sampled_from([None, True, False]))
def test_percentiles_are_lengths_that_so_many_rows_do_not_exceed(
    rows: list[tuple[int, int, bool]], label: bool | None
) -> None:
    totals = [p + c for p, c, has in rows if c and label in {None, has}]
    found = counted(rows).percentiles(label)
    if not totals:
        assert found is None
        return
    assert found is not None
    assert found.max == max(totals)
    for value, percent in zip(msgspec.structs.astuple(found), (50, 90, 95, 99, 100), strict=True):
        assert value in totals
        assert 100 * sum(total <= value for total in totals) >= percent * len(totals)
        assert 100 * sum(total < value for total in totals) < percent * len(totals)


@given(ROWS)
def test_the_histogram_holds_every_row_of_its_label_once(rows: list[tuple[int, int, bool]]) -> None:
    lengths = counted(rows)
    for label in (True, False):
        totals = [p + c for p, c, has in rows if c and has is label]
        fits = [sum(total <= edge for total in totals) for edge in EDGES]
        bins = lengths.histogram(label)
        assert [sum(bins[: i + 1]) for i in range(len(EDGES))] == fits
        assert sum(bins) == len(totals)
    assert [a + b for a, b in zip(lengths.histogram(True), lengths.histogram(False), strict=True)] == list(
        lengths.histogram()
    )


def test_a_row_as_long_as_an_edge_fits_into_it() -> None:
    assert count([(60, 4), (60, 5), (1, 20_000)], [True] * 3).histogram() == (1, 1, *[0] * 14, 1)


# The proposal


def test_the_usual_limits() -> None:
    assert STEPS[:9] == (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)


@given(ROWS, st.none() | st.integers(1, 2000))
def test_no_shorter_usual_limit_would_do(rows: list[tuple[int, int, bool]], context: int | None) -> None:
    lengths = counted(rows)
    proposal = lengths.proposal(context)
    assume(proposal is not None)
    assert proposal is not None

    def does(limit: int) -> bool:
        return not lengths.dropped(limit) and 100 * lengths.cut(limit) <= lengths.rows

    assert context is None or proposal.max_length <= context
    assert not any(does(step) for step in STEPS if step < proposal.max_length)
    assert does(proposal.max_length) or proposal.max_length == context


@pytest.mark.parametrize(
    ("pairs", "context", "limit", "because"),
    [
        ([(100, 100)] * 200, None, 256, "1 % of the rows at most: all 200 rows fit"),
        ([(100, 100)] * 198 + [(100, 900)] * 2, None, 256, "1 % of the rows at most: cuts 2 of 200 rows"),
        ([(100, 100)] * 197 + [(100, 900)] * 3, None, 1024, "1 % of the rows at most: all 200 rows fit"),
        ([(100, 100)] * 199 + [(900, 1)], None, 1024, "1 % of the rows at most: all 200 rows fit"),
        ([(100, 1400)] * 3, 1000, 1000, "the most the model takes; cuts 3 of 3 rows"),
        ([(100, 1400), (2000, 1)], 1000, 1000, "the most the model takes; cuts 1 of 2 rows and leaves 1 out"),
        ([(10, 10)], 128, 128, "1 % of the rows at most: all 1 rows fit"),
    ],
)
def test_proposals(pairs: list[tuple[int, int]], context: int | None, limit: int, because: str) -> None:
    proposal = count(pairs, [True] * len(pairs)).proposal(context)
    assert proposal is not None
    assert proposal.max_length == limit
    assert proposal.because.endswith(because)


def test_without_rows_there_is_nothing_to_say() -> None:
    nothing = count([], [])
    assert (nothing.rows, nothing.percentiles(), nothing.proposal(), findings(nothing, 9)) == (0, None, None, [])


# Findings


def test_what_a_limit_does_is_found_and_the_rows_are_named() -> None:
    pairs = [(10, 10), (10, 30), (40, 1), (5, 40), (50, 0)]
    rows = [(number, *pair) for number, pair in enumerate(pairs, 1)]
    filled, cut = findings(count(pairs, [True] * 5), 32, rows=rows)
    assert (filled.id, filled.count, filled.rows, filled.severity) == ("prompt_too_long", 1, (3,), "warning")
    assert (cut.id, cut.count, cut.rows, cut.severity) == ("too_long", 2, (2, 4), "warning")
    assert filled.title == "1 of 5 rows have a prompt that alone fills max_length 32"
    assert cut.title == "2 of 5 rows are longer than max_length 32"
    assert (cut.looked_at, cut.fix) == (None, None)
    assert findings(count(pairs, [True] * 5), 45) == []


def test_a_sample_and_an_estimate_say_so() -> None:
    (cut,) = findings(estimate([42], [4200], [True], of=1000), 256)
    assert cut.title == "1 of 1 rows are longer than max_length 256, by an estimate"
    assert cut.looked_at == 1
    proposal = estimate([42], [420], [True]).proposal()
    assert proposal is not None
    assert proposal.because.endswith("all 1 rows should fit")
    cuts = estimate([42], [4200], [True]).proposal(256)
    assert cuts is not None
    assert cuts.because == "the most the model takes; cuts about 1 of 1 rows"


def test_no_more_rows_are_named_than_are_shown() -> None:
    pairs = [(1, 99)] * (SHOWN_ROWS + 5)
    (cut,) = findings(count(pairs, [True] * len(pairs)), 50, rows=[(n, *pair) for n, pair in enumerate(pairs)])
    assert (cut.count, len(cut.rows)) == (SHOWN_ROWS + 5, SHOWN_ROWS)


# Estimates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat sat", LATIN),
        ("", LATIN),
        ("кошка", OTHER),
        ("猫が座った", CJK),
        ("고양이", CJK),
        ("🐈🐈", CJK),
        ("ab猫", 3 / (2 / LATIN + 1 / CJK)),
    ],
)
def test_the_script_decides_how_many_characters_a_token_has(text: str, expected: float) -> None:
    assert characters_per_token([text]) == pytest.approx(expected)


def test_an_estimate_is_rounded_up_and_keeps_empty_rows_apart() -> None:
    lengths = estimate([0, 9, 5], [3, 0, 4], [True, True, False], per_token=2)
    assert (lengths.desirable, lengths.undesirable, lengths.empty, lengths.counted) == (((2, 1),), ((5, 1),), 1, False)
    assert lengths.looked_at == lengths.of == 3


def test_columns_of_numpy_are_taken_and_the_result_is_plain() -> None:
    numpy = pytest.importorskip("numpy")
    columns = numpy.array([8, 80], dtype="u4"), numpy.array([4, 400], dtype="u4"), numpy.array([True, False])
    lengths = estimate(*columns)
    assert msgspec.json.decode(msgspec.json.encode(lengths), type=Lengths) == lengths


def test_the_estimate_of_real_english_chats_is_near_the_count() -> None:
    """The file the constant was measured on, and another; counts by SmolLM2's tokenizer where it is here."""
    folders = (here / "shared" / "data" for here in Path(__file__).parents)
    data = next((folder for folder in folders if folder.is_dir()), None)
    model = Path.home() / ".local/share/kto-tui/models/SmolLM2-135M-Instruct"
    if data is None or not (model / "tokenizer.json").is_file():
        pytest.skip("the real files or the starter model's tokenizer are not on this machine")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    for name, turns in (("kto_en_demo", "messages"), ("dpo_en_demo", "conversations")):
        records = random.Random(0).sample(json.loads((data / f"{name}.json").read_text(encoding="utf-8")), 60)
        texts = [turn.get("content") or turn["value"] for record in records for turn in record[turns]]
        tokens = sum(len(tokenizer.encode(text).ids) for text in texts)
        assert math.isclose(sum(map(len, texts)) / characters_per_token(texts), tokens, rel_tol=0.15), name
