"""``kto-tui data check``, ``convert`` and ``show`` as a person and a program meet them."""

import csv
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from kto_tui.cli import main
from kto_tui.commands.data import arguments
from kto_tui.data.shapes.write import TARGETS
from kto_tui.hub.cache import folder_of, record_dataset
from kto_tui.hub.request import Request
from tests.tiny import CHAT_TEMPLATE, make_rows, make_tokenizer, write_jsonl

Captured = pytest.CaptureFixture[str]
NAMES = {
    "path", "format", "confidence", "because", "shape", "columns", "records", "rows", "kept", "desirable",
    "undesirable", "labels", "weights", "characters", "checks", "looked_at", "tokens", "choices", "ready", "next",
    "fingerprint", "store", "bytes_read", "seconds", "method", "trained",
}  # fmt: skip


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "good.jsonl", make_rows(40))


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """40 answers with a thumb each, which somebody has to confirm."""
    with (tmp_path / "votes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["question", "answer", "vote"])
        for number, row in enumerate(make_rows(40, chat=False)):
            table.writerow([row["prompt"], row["completion"], "up" if number % 2 else "down"])
    return tmp_path / "votes.csv"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good rows, and one of each kind that cannot be trained on."""
    rows: list[dict[str, object]] = make_rows(40)
    rows[4] |= {"label": None}
    rows[5] |= {"completion": [{"role": "assistant", "content": " "}]}
    rows[6] |= {"completion": [{"role": "user", "content": "me again"}]}
    file = write_jsonl(tmp_path / "mixed.jsonl", rows)
    file.write_text(file.read_text() + '{"prompt": "half a\n')
    return file


def data(*args: object, capsys: Captured) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["data", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def checked(*args: object, capsys: Captured) -> dict[str, Any]:
    """The record of a check, whatever the exit code."""
    _, out, err = data("check", *args, "--json", capsys=capsys)
    assert err == ""
    found: dict[str, Any] = msgspec.json.decode(out)
    return found


def test_a_sound_file_is_ready(good: Path, capsys: Captured) -> None:
    code, out, err = data("check", good, capsys=capsys)
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "TRL unpaired preference (100%)" in words
    assert "20 good and 20 bad weights 1 and 1" in words
    assert "the weighted ratio is 1.00, and should be 1.00 to 1.33" in words
    assert re.search(r"Tokens median about \d+, 95 % up to \d+, longest \d+ \(estimated from characters", words)
    assert f'write data = "{good}" into a run file' in words


def test_the_record_has_the_documented_names(good: Path, capsys: Captured) -> None:
    found = checked(good, capsys=capsys)
    assert set(found) == NAMES
    assert (found["format"], found["confidence"]) == ("JSON lines, UTF-8", 1.0)
    assert found["shape"]["name"] == "trl"
    assert found["columns"] == {"prompt": "prompt", "completion": "completion", "label": "label"}
    assert [found[name] for name in ("records", "rows", "kept", "desirable", "undesirable")] == [40, 40, 40, 20, 20]
    assert found["labels"]["values"][0] == {"value": True, "label": True, "count": 20, "row": 1}
    assert found["weights"]["ratio"] == 1.0
    assert not found["tokens"]["counted"]
    assert list(found["tokens"]["percentiles"]) == ["p50", "p90", "p95", "p99", "max"]
    assert found["ready"]


def test_a_guessed_polarity_never_passes(votes: Path, capsys: Captured) -> None:
    code, out, _ = data("check", votes, capsys=capsys)
    assert code == 1
    assert "NOBODY HAS CONFIRMED THAT" in " ".join(out.split())
    assert "--good=up --bad=down" in out
    assert not checked(votes, capsys=capsys)["labels"]["confirmed"]
    assert data("check", votes, "--good=up", "--bad=down", capsys=capsys)[0] == 0
    turned = checked(votes, "--good=down", "--bad=up", capsys=capsys)
    assert {one["value"]: one["label"] for one in turned["labels"]["values"]} == {"up": False, "down": True}
    assert turned["choices"] == {"good": ["down"], "bad": ["up"]}


def test_errors_fail_until_their_fixes_are_accepted(mixed: Path, capsys: Captured) -> None:
    code, out, _ = data("check", mixed, capsys=capsys)
    assert code == 1
    ids = ["unreadable", "roles", "empty_completion", "missing_label"]
    found = checked(mixed, capsys=capsys)
    assert [one["id"] for one in found["checks"] if one["severity"] == "error"] == ids
    assert found["kept"] == 37
    assert f"--fix={','.join(ids)}" in found["next"]
    assert "mixed.jsonl:41" in out
    accepted = checked(mixed, "--fix", ",".join(ids), capsys=capsys)
    assert accepted["ready"]
    assert 'fixes = ["unreadable", ' in accepted["next"]
    assert all(one["accepted"] for one in accepted["checks"] if one["id"] in ids)


def test_warnings_fail_with_strict_only(tmp_path: Path, capsys: Captured) -> None:
    rows = make_rows(40)
    file = write_jsonl(tmp_path / "copies.jsonl", [*rows, *rows[:2]])
    assert data("check", file, capsys=capsys)[0] == 0
    assert data("check", file, "--strict", capsys=capsys)[0] == 1
    assert data("check", file, "--strict", "--fix", "exact_duplicates", capsys=capsys)[0] == 0


def test_one_label_only_is_no_data_for_kto(tmp_path: Path, capsys: Captured) -> None:
    file = write_jsonl(tmp_path / "up.jsonl", [row | {"label": True} for row in make_rows(20)])
    found = checked(file, capsys=capsys)
    assert found["weights"] is None
    assert not found["ready"]
    assert "--method=sft" in found["next"]


def test_columns_and_ratings_are_said_by_flags(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "odd.csv"
    file.write_text('"a,b",zwei,drei\n' + "".join(f"why {n}?,because {n},{n % 5 + 1}\n" for n in range(30)))
    flags = ("--map", r"a\,b=prompt, zwei=completion,drei=label", "--threshold", "4")
    found = checked(file, *flags, capsys=capsys)
    assert {name: role for name, role in found["columns"].items() if role != "ignore"} == {
        "a,b": "prompt", "zwei": "completion", "drei": "label",
    }  # fmt: skip
    assert (found["desirable"], found["undesirable"], found["labels"]["confirmed"]) == (12, 18, True)


BAD_INPUT: dict[str, tuple[tuple[str, ...], str]] = {
    "no file": (("check", "none.jsonl"), "none.jsonl"),
    "no data set": (
        ("check", "acme/feedback", "--split", "train"),
        "kto-tui download --dataset acme/feedback --split train",
    ),
    "no role": (("check", "good.jsonl", "--map", "prompt=question"), "'question' is nothing that a column can hold"),
    "no column": (("check", "good.jsonl", "--map", "prompt"), "names no column"),
    "an empty value": (("check", "good.jsonl", "--good", "up,,down"), "A value is empty"),
    "no number": (("check", "good.jsonl", "--threshold", "nan"), "'nan' is no number"),
    "no encoding": (("check", "good.jsonl", "--encoding", "utf-9"), "utf-9"),
    "no fix": (("check", "good.jsonl", "--fix", "magic"), "magic"),
    "nothing held out": (("check", "good.jsonl", "--fix", "heldout_overlap"), "--heldout FILE"),
    "no row": (("show", "good.jsonl", "--row", "41"), "from 1 to 40"),
    "no tokenizer": (("check", "good.jsonl", "--tokenizer", "none"), "none"),
    "another ending": (("convert", "good.jsonl", "out.txt"), ".jsonl or .parquet"),
    "no folder": (("convert", "good.jsonl", "none/out.jsonl"), "none/out.jsonl"),
    "the file itself": (("convert", "good.jsonl", "good.jsonl", "--force"), "part of the data"),
    "inside the source": (("convert", ".", "out.jsonl"), "part of the data"),
    "a folder in the way": (("convert", "good.jsonl", "folder.jsonl", "--force"), "exists already"),
    "an unconfirmed polarity": (("convert", "votes.csv", "out.jsonl"), "add --good=up --bad=down"),
    "rows that cannot be trained on": (("convert", "mixed.jsonl", "out.jsonl"), "mixed.jsonl:5: The row has no label"),
    "a control character": (("check", "a\x1b[31mb"), r"a\x1b[31mb"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    name: str, good: Path, votes: Path, mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.jsonl").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    args, words = BAD_INPUT[name]
    code, out, err = data(*args, capsys=capsys)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err
    assert "\x1b" not in err
    assert {path.name for path in tmp_path.iterdir()} - {"cache"} == before


def test_text_of_others_moves_no_cursor_and_is_no_markup(tmp_path: Path, capsys: Captured) -> None:
    evil = "\x1b[2J\x1b]0;title\x07 [red]gone[/red] :smile: \u202e\x9b31m\r\n"
    rows = make_rows(40)
    rows[0] |= {"completion": [{"role": "assistant", "content": f"{evil} answer"}], "label": evil}
    rows[1] |= {evil: 1}
    file = write_jsonl(tmp_path / "evil\x1b[2J.jsonl", rows)
    unsafe = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
    for command in (("check", file), ("show", file, "--row", 1), ("check", file, "--map", "prompt=prompt")):
        _, out, err = data(*command, capsys=capsys)
        assert not unsafe.search(out + err)
    _, out, _ = data("show", file, "--row", 1, capsys=capsys)
    assert r"\x1b[2J" in out
    assert "[red]gone[/red] :smile:" in out
    record = msgspec.json.decode(data("show", file, "--row", 1, "--json", capsys=capsys)[1])
    assert record["completion"][0]["content"] == f"{evil} answer"
    assert checked(file, capsys=capsys)["labels"]["values"][0]["count"] >= 19


@pytest.mark.skipif(not Path("/proc").exists(), reason="file names of other bytes are for Linux")
def test_json_is_valid_whatever_bytes_a_name_has(good: Path, capsys: Captured) -> None:
    odd = Path(os.fsdecode(bytes(good.parent) + b"/\xff.jsonl"))
    good.rename(odd)
    found = checked(odd, capsys=capsys)
    assert found["rows"] == 40
    assert data("show", odd, "--row", "1", capsys=capsys)[0] == 0


def test_a_downloaded_data_set_is_found_by_its_id(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = folder_of("acme/feedback", "dataset") / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    good.rename(snapshot / "train.jsonl")
    record_dataset(Request(id="acme/feedback", repo_type="dataset"), "abc", ["train.jsonl"])
    found = checked("acme/feedback", capsys=capsys)
    assert found["rows"] == 40
    assert 'data = "acme/feedback"' in found["next"]


def test_targets_are_those_that_rows_can_be_written_as() -> None:
    assert set(arguments.TARGETS) == set(TARGETS)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize("target", ["trl", "trl-text", "sharegpt", "openai", "alpaca", "transcript"])
def test_what_was_converted_is_the_same_data(target: str, ending: str, votes: Path, capsys: Captured) -> None:
    out = votes.with_name(f"out{ending}")
    code, said, _ = data("convert", votes, out, "--to", target, "--good=up", "--bad=down", capsys=capsys)
    assert code == 0
    assert said == f"40 rows written to {out}, as {target}\n"
    found = checked(out, capsys=capsys)
    assert (found["desirable"], found["undesirable"], found["ready"]) == (20, 20, True)
    if target != "trl-text":
        assert found["fingerprint"] == checked(votes, "--good=up", "--bad=down", capsys=capsys)["fingerprint"]
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    os.umask(mask := os.umask(0))
    return mask


CALL = {"type": "function", "function": {"name": "look", "arguments": {"deep": {"er": [1, None]}}}}
ANSWERS = [{"role": "assistant", "content": "So."}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
TOOL_ROWS: list[dict[str, object]] = [
    {"prompt": [{"role": "user", "content": f"Look {number}"}], "completion": [answer], "label": number % 2 == 0}
    | ({"tools": [{"type": "function", "function": {"name": "look"}}]} if number > 20 else {})
    for number in range(30)
    for answer in ANSWERS
]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_tools_survive(ending: str, tmp_path: Path, capsys: Captured) -> None:
    file = write_jsonl(tmp_path / "tools.jsonl", TOOL_ROWS)
    out = tmp_path / f"out{ending}"
    assert data("convert", file, out, capsys=capsys)[0] == 0
    assert checked(out, capsys=capsys)["fingerprint"] == checked(file, capsys=capsys)["fingerprint"]


def test_a_file_for_fine_tuning_says_what_it_leaves_out(votes: Path, capsys: Captured) -> None:
    out = votes.with_name("sft.jsonl")
    _, said, _ = data("convert", votes, out, "--to", "mlx", "--good=up", "--bad=down", capsys=capsys)
    assert "20 rows written" in said
    assert "20 undesirable rows left out" in said
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert [list(record) for record in records] == [["messages"]] * 20


def test_fixes_are_counted_and_applied(mixed: Path, capsys: Captured) -> None:
    out = mixed.with_name("out.parquet")
    fixes = "unreadable,roles,empty_completion,missing_label"
    told = msgspec.json.decode(data("convert", mixed, out, "--fix", fixes, "--json", capsys=capsys)[1])
    assert told["rows"] == pq.read_metadata(out).num_rows == 37
    assert told["left_out"] == dict.fromkeys(fixes.split(","), 1)


def test_what_a_target_cannot_say_is_refused_whole(tmp_path: Path, capsys: Captured) -> None:
    rows = make_rows(40)
    rows[30]["prompt"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    code, _, err = data("convert", file, tmp_path / "out.jsonl", "--to", "trl-text", capsys=capsys)
    assert code == 2
    assert "rows.jsonl:31" in err
    assert {path.name for path in tmp_path.iterdir()} == {"rows.jsonl", "cache"}


def test_an_existing_file_is_replaced_only_by_force(good: Path, capsys: Captured) -> None:
    out = good.with_name("out.jsonl")
    out.write_text("mine")
    code, _, err = data("convert", good, out, capsys=capsys)
    assert (code, out.read_text()) == (2, "mine")
    assert "--force" in err
    assert data("convert", good, out, "--force", capsys=capsys)[0] == 0
    assert len(out.read_text().splitlines()) == 40


def test_a_row_is_shown_as_found_and_as_read(mixed: Path, capsys: Captured) -> None:
    code, out, _ = data("show", mixed, "--row", 1, capsys=capsys)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["Row", "1", "of", "41,", "mixed.jsonl:1"]
    assert lines[1].split(maxsplit=1) == ["Label", "true, read as good"]
    assert lines[2].startswith("Prompt      user: ")
    assert lines[3].startswith("Completion  assistant: ")


@pytest.mark.parametrize(
    ("row", "words"),
    [(5, "[missing_label]"), (6, "[empty_completion]"), (7, "me again"), (41, "it is not JSON")],
)
def test_what_is_wrong_with_a_row_is_shown(row: int, words: str, mixed: Path, capsys: Captured) -> None:
    code, out, _ = data("show", mixed, "--row", row, capsys=capsys)
    assert code == 0
    assert words in out
    record = msgspec.json.decode(data("show", mixed, "--row", row, "--json", capsys=capsys)[1])
    assert record["problem"] or record["checks"]


def test_a_models_own_tokenizer_counts_and_shows(good: Path, tmp_path: Path, capsys: Captured) -> None:
    folder = make_tokenizer(tmp_path / "model")
    found = checked(good, "--tokenizer", folder, capsys=capsys)["tokens"]
    assert (found["counted"], found["model"], found["rows"], found["of"]) == (True, str(folder), 40, 40)

    code, out, _ = data("show", good, "--row", 3, "--tokenizer", folder, capsys=capsys)
    assert code == 0
    row = json.loads(good.read_text().splitlines()[2])
    prompt, answer = row["prompt"][0]["content"], row["completion"][0]["content"]
    told = out[out.index("As prompt") :]
    assert f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" in told
    assert re.search(rf"As answer +\d+ tokens, trained on\n{re.escape(answer)}<\|im_end\|>", told)


def test_a_row_that_the_chat_template_refuses_is_said(good: Path, tmp_path: Path, capsys: Captured) -> None:
    asked = json.loads(good.read_text().splitlines()[2])["prompt"][0]["content"]
    refuse = f"{{% if messages[0].content == '{asked}' %}}{{{{ raise_exception('never that') }}}}{{% endif %}}"
    folder = make_tokenizer(tmp_path / "model", chat_template=refuse + CHAT_TEMPLATE)
    code, out, _ = data("check", good, "--tokenizer", folder, capsys=capsys)
    assert code == 1
    assert "estimated from characters" in out
    assert "never that" in " ".join(out.split())
    code, out, _ = data("show", good, "--row", 3, "--tokenizer", folder, capsys=capsys)
    assert code == 0
    assert "never that" in out
