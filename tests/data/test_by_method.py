"""What each method learns from: KTO from all rows and both labels, SFT from the good ones, said to be good or not."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.cli import main
from kto_tui.commands.data.verdict import judge
from kto_tui.data.by_method import count_for, require_trainable, rows_for
from kto_tui.data.examine import Job, examine
from kto_tui.data.prepare import Settings, prepare
from kto_tui.data.rows import Dataset, Row
from kto_tui.data.scan import UnclearError
from kto_tui.data.sources import STARTER, open_source, quietly
from kto_tui.data.split import heldout_count, split_rows
from kto_tui.draft import Draft, choose_data, from_request, plan, require_rows, to_config
from kto_tui.errors import UserError
from kto_tui.hardware.presets import load_hardware
from kto_tui.methods import Method
from kto_tui.runs.config import RunRequest, load_config, read_request, to_toml
from tests.data.prepare.test_build import CountingTokenizer
from tests.tiny import make_rows, write_jsonl

GOOD = DataChoices(unlabelled="good")
# What TRL and mlx-lm fine-tune on, and Alpaca's: the same question and answer.
DEMONSTRATIONS: dict[str, Mapping[str, object]] = {
    "prompt-completion": {"prompt": "Why?", "completion": "Because."},
    "conversational": {
        "prompt": [{"role": "user", "content": "Why?"}],
        "completion": [{"role": "assistant", "content": "Because."}],
    },
    "messages": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
        ]
    },
    "sharegpt": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
    "alpaca": {"instruction": "Why?", "input": "", "output": "Because."},
    "columns of other names": {"question": "Why?", "answer": "Because."},
}


def numbered(rows: int, record: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """``rows`` records with different questions."""
    for i in range(rows):
        yield json.loads(json.dumps(record).replace("Why?", f"Why {i}?"))


def labelled(path: Path, labels: list[bool | None]) -> Path:
    rows = make_rows(len(labels), chat=False)
    return write_jsonl(path, [row | {"label": label} for row, label in zip(rows, labels, strict=True)])


def dataset(path: Path, choices: DataChoices = GOOD) -> Dataset:
    return open_source(str(path), choices=choices).dataset


# Rows without a label


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_demonstrations_are_refused_until_somebody_says_that_they_are_good(tmp_path: Path, name: str) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", list(numbered(20, DEMONSTRATIONS[name])))
    with pytest.raises(UnclearError) as caught:
        open_source(str(file))
    assert 'method = "sft" and unlabelled = "good" below [choices]' in caught.value.mend
    found = dataset(file)
    assert (len(found.rows), found.desirable, found.undesirable) == (20, 20, 0)
    last = found.rows[-1]
    assert last.label
    assert "Why 19?" in str(last.prompt)
    assert "Because." in str(last.completion)


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def test_the_doctor_says_how_to_train_on_demonstrations(tmp_path: Path, name: str) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", list(numbered(40, DEMONSTRATIONS[name])))
    report = examine(Job(path=str(file), choices=GOOD, method="sft"), quietly)
    verdict = judge(report, GOOD, "rows.jsonl")
    assert (report.trained, report.weights, report.confirmed) == (40, None, True)
    assert verdict.ready
    assert 'unlabelled = "good"' in verdict.next
    assert 'method = "sft"' in verdict.next
    assert not {finding.id for finding in report.findings} - {"near_duplicates", "exact_duplicates"}


def test_what_the_check_counts_is_what_sft_trains_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = labelled(tmp_path / "rows.jsonl", [i % 4 > 0 for i in range(40)])
    assert main(["data", "check", str(file), "--method", "sft", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [found[name] for name in ("kept", "trained", "desirable", "undesirable")] == [40, 30, 30, 10]
    assert (found["tokens"]["of"], found["tokens"]["undesirable"], found["weights"]) == (30, None, None)
    assert main(["data", "check", str(file), "--method", "sft"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "40, 30 would be trained on; 10 thumbs-down rows are not trained on: SFT imitates the good answers" in told
    assert "HINT 10 rows are labelled bad and not trained on [not_imitated]" in told
    assert main(["data", "check", str(labelled(tmp_path / "mixed.jsonl", [True, None] * 20)), "--method", "sft"]) == 1
    assert "--unlabelled=good, if rows without a label are good answers" in " ".join(capsys.readouterr().out.split())


def test_rows_without_a_label_among_others(tmp_path: Path) -> None:
    file = labelled(tmp_path / "rows.jsonl", [True, None, False, None])
    with pytest.raises(UserError, match="The row has no label") as caught:
        dataset(file, DataChoices())
    assert 'unlabelled = "good"' in caught.value.mend
    found = dataset(file)
    assert [row.label for row in found.rows] == [True, True, False, True]
    flipped = dataset(file, DataChoices(unlabelled="good", flipped=(2,)))
    assert [row.label for row in flipped.rows] == [True, False, False, True]
    assert found.fingerprint != flipped.fingerprint


def test_saying_so_confirms_no_other_label(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "completion": "c", "feedback": ["up", "down", None][i % 3]} for i in range(12)]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match="Nobody has confirmed") as caught:
        dataset(file)
    assert 'good = ["up"] and bad = ["down"]' in caught.value.mend
    found = dataset(file, DataChoices(unlabelled="good", good=("up",), bad=("down",)))
    assert (found.desirable, found.undesirable) == (8, 4)


def test_a_record_that_cannot_be_read_is_not_good_for_want_of_a_label(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "rows.jsonl", list(numbered(20, DEMONSTRATIONS["messages"])))
    file.write_text(file.read_text() + '{"messages": [{"role": "user", "content": "Well?"}]}\n{broken\n')
    with pytest.raises(UserError, match="roles of the messages"):
        dataset(file)
    assert dataset(file, DataChoices(unlabelled="good", fixes=("roles", "unreadable"))).desirable == 20


# What a method takes


@pytest.mark.parametrize("method", ["kto", "sft"])
def test_rows_of_the_starter_set(method: Method) -> None:
    found = open_source(STARTER).dataset
    rows, remarks = rows_for(method, found)
    assert len(rows) == count_for(method, found)
    if method == "kto":
        assert rows is found.rows
        assert not remarks
    else:
        assert all(row.label for row in rows)
        assert list(rows) == [row for row in found.rows if row.label]
        said = f"{found.undesirable} thumbs-down rows are not trained on: SFT imitates the good answers"
        assert remarks == (said,)
    require_trainable(method, found)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0, 0.5), st.integers(0, 99))
def test_no_bad_row_is_imitated_nor_held_out(labels: list[bool], share: float, seed: int) -> None:
    every = tuple(Row(f"p{i % 50}", "c", label, i) for i, label in enumerate(labels, 1))
    found = Dataset(Path("rows.jsonl"), every, "", sum(labels), 1.0, 1)
    rows, remarks = rows_for("sft", found)
    split = split_rows(rows, share=share, seed=seed)
    assert sorted(row.line for row in (*split.train, *split.heldout)) == [row.line for row in every if row.label]
    assert len(split.heldout) <= heldout_count(found.desirable, 0, share)
    assert bool(remarks) == (not all(labels))


def test_methods_refuse_what_they_cannot_learn_from(tmp_path: Path) -> None:
    both = dataset(labelled(tmp_path / "both.jsonl", [True, False] * 3))
    good = dataset(labelled(tmp_path / "good.jsonl", [True] * 3))
    bad = dataset(labelled(tmp_path / "bad.jsonl", [False] * 3))
    for held in (None, both, good):
        require_trainable("sft", good, held)
        require_trainable("sft", both, held)
    require_trainable("kto", both, bad)
    with pytest.raises(UserError, match="All 3 rows are labelled true; KTO needs both") as caught:
        require_trainable("kto", good)
    assert 'method = "sft" below [recipe], which backend mlx has' in caught.value.mend
    with pytest.raises(UserError, match="All 3 rows are labelled false; KTO needs both") as caught:
        require_trainable("kto", bad)
    assert "sft" not in caught.value.mend
    for train, held, where in ((bad, None, "bad.jsonl"), (good, bad, "bad.jsonl")):
        with pytest.raises(UserError, match=r"All 3 rows are labelled false; SFT imitates") as caught:
            require_trainable("sft", train, held)
        assert str(caught.value).startswith(str(tmp_path / where))


# From the run file to the windows


def test_a_run_file_for_sft(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", list(numbered(100, DEMONSTRATIONS["messages"])))
    file = tmp_path / "run.toml"
    head = 'model = "Qwen/Qwen2.5-0.5B-Instruct"\ndata = "rows.jsonl"\nbackend = "mlx"\n'
    file.write_text(head + '[recipe]\nmethod = "sft"\n[choices]\nunlabelled = "good"\n')
    draft = from_request(read_request(file), load_hardware("mac-m4-24gb"))
    assert (draft.method, draft.rows, draft.heldout_rows, draft.training_rows) == ("sft", 100, 16, 84)
    config = to_config(draft)
    assert (config.recipe.method, config.choices) == ("sft", GOOD)
    again = tmp_path / "again.toml"
    again.write_text(to_toml(config))
    assert load_config(again) == config
    file.write_text(head + '[choices]\nunlabelled = "good"\n')
    with pytest.raises(UserError, match="KTO needs both"):
        from_request(read_request(file), load_hardware("mac-m4-24gb"))
    file.write_text(head + '[choices]\nunlabelled = "maybe"\n')
    with pytest.raises(UserError, match="unlabelled"):
        read_request(file)


def test_counts_of_a_draft_are_those_of_its_method(tmp_path: Path) -> None:
    file = labelled(tmp_path / "rows.jsonl", [i % 4 > 0 for i in range(400)])
    held = labelled(tmp_path / "held.jsonl", [i % 2 > 0 for i in range(20)])
    kto = choose_data(Draft(hardware=load_hardware("rtx-3070-8gb")), str(file))
    sft = msgspec.structs.replace(kto, overrides={"method": "sft"})
    assert (kto.heldout_rows, kto.training_rows, kto.unused) == (40, 360, "")
    assert (sft.heldout_rows, sft.training_rows) == (30, 270)
    assert sft.unused == "100 thumbs-down rows are not trained on: SFT imitates the good answers"
    with_own = choose_data(sft, str(file), str(held))
    assert (with_own.heldout_rows, with_own.training_rows) == (10, 300)
    request = RunRequest(model="Qwen/Qwen2.5-0.5B-Instruct", data=str(file), overrides={"method": "sft"})
    assert plan(from_request(request, load_hardware("rtx-3070-8gb"))).recipe.effective_batch == 8
    require_rows(Draft(hardware=load_hardware("rtx-3070-8gb")))


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_windows_of_one_label(count: int, tmp_path: Path) -> None:
    """No row is left out or waits for a partner, and a row may have a step to itself."""
    rows, _ = rows_for("sft", dataset(labelled(tmp_path / "rows.jsonl", [True] * count)))
    settings = Settings(max_length=400, effective_batch=8, seed=1, kl=False)
    prepared = prepare(rows, CountingTokenizer(), settings)
    assert (prepared.rows, prepared.desirable, prepared.single, prepared.merged) == (count, count, None, 0)
    assert [len(window) for window in prepared.windows] == [8] * (count // 8) + ([count % 8] if count % 8 else [])
    assert all(row.label and not row.kl_completion_ids for window in prepared.windows for row in window)
