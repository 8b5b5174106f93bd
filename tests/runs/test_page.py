"""The report on a run: everything somebody else needs, nothing that is private."""

import re
from pathlib import Path

import msgspec
import pytest

from kto_tui.errors import UserError
from kto_tui.runs.about import change_about
from kto_tui.runs.events import AdapterSaved, Adjusted, Answer, Ended, Evaluated, Marked, Noted, Resumed, Sampled
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.page import SHOWN_EVALUATIONS, markdown, write_page
from kto_tui.runs.reading import Reading
from tests.runs.made import CONFIG, RECORDED, made_run, step


def page(run: RunFolder) -> str:
    one = Reading(run)
    one.read()
    return markdown(one, "curves.svg")


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_page_of_a_real_run() -> None:
    text = page(RunFolder(RECORDED / "quick-heron"))
    headings = re.findall(r"^##? (.*)$", text, re.MULTILINE)
    assert headings == [
        "starter again", "Outcome", "How it went", "Held-out rows", "Answers", "Choices in force",
        "Model, data, versions",
    ]  # fmt: skip
    assert "Healthy: margin" in section(text, "How it went")
    assert "![Curves of starter again](<curves.svg>)" in text
    assert "| Learning rate | 3e-4 | LoRA on 135 M |" in text
    assert "| Data fingerprint | 68534a64620a5018039aa57277fcd32d976a42e471c152538585dbf2b4d279f2 |" in text
    assert "| Rows trained on | 496 (248 : 248) |" in text
    answers = section(text, "Answers")
    assert answers.count("- base: ") == answers.count("- tuned: ") == 3
    assert "None" not in text
    assert "nan" not in text.split()


def test_a_sick_run_is_told_what_to_change() -> None:
    went = section(page(RunFolder(RECORDED / "bold-lynx")), "How it went")
    assert re.search(r"^- \*\*.+\.\*\* .*learning\\_rate.* instead of 0\.03\.$", went, re.MULTILINE)
    assert "Healthy" not in went


def test_what_happened_on_the_way() -> None:
    events = [
        step(1),
        Adjusted(name="micro_batch", before=4, after=2, because="memory ran out", by="recovery", t=5.0),
        Resumed(step=1, t=6.0),
        step(2),
        Marked(step=2, text="look | here", t=7.0),
        Noted(text="3 rows were cut", t=8.0),
        Ended(reason="failed", message="The GPU was lost. Resume it.", cause="gpu_lost", t=9.0),
    ]
    run = made_run("bold-fox", events)
    change_about(run.about, tags=("lr", "night"), note="over *night*\nfrom home")
    text = page(run)
    assert "Run `bold-fox`, failed" in text
    assert "tags lr, night. The GPU was lost. Resume it." in text
    assert "> over \\*night\\*  \n> from home  " in text
    assert "micro\\_batch 4 -\\> 2: memory ran out" in section(text, "Changed while it ran")
    notes = section(text, "Notes")
    assert [word in notes for word in ("goes on after step 1", "look \\| here", "3 rows were cut")] == [True] * 3
    assert "| Micro-batch | 2 rows |" in text, "what is in force, not what was asked for first"


def test_a_run_that_never_began_has_a_page() -> None:
    run = made_run("bold-fox")
    assert "There is too little to judge it by." in page(run)
    run.config.write_text("no toml", encoding="utf-8")
    assert "configuration cannot be read" in page(run)


def test_nothing_private_is_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ada_b")
    token = "hf_" + "aB3" * 11
    config = msgspec.structs.replace(CONFIG, data="/home/ada_b/rows.jsonl", model="/home/ada_b/model")
    events = [
        AdapterSaved(path="/home/ada_b/runs/x/adapter", size_bytes=1024**2),
        Noted(text=f"could not log in with {token}"),
        Sampled(step=0, answers=(Answer(f"is {token} good?", "a", finished=True),)),
        Sampled(step=1, answers=(Answer(f"is {token} good?", "b", finished=True),)),
    ]
    run = made_run("bold-fox", events, config=config)
    change_about(run.about, note=f"in /home/ada_b with {token}")
    text = page(run)
    assert "ada_b" not in text.replace("\\", "")
    assert token not in text.replace("\\", "")
    assert text.count("hidden") == 3
    for there in ("\\~/rows.jsonl", "\\~/model", "\\~/runs/x/adapter", "in \\~ with"):
        assert there in text


def test_text_of_others_stays_text() -> None:
    nasty = "# no heading <script> | `x` [a](b) \x1b[31m\n## neither"
    events = [
        Sampled(step=0, answers=(Answer(nasty, nasty, finished=True),)),
        Sampled(step=1, answers=(Answer(nasty, nasty, finished=False),)),
    ]
    text = page(made_run("bold-fox", events))
    assert "\x1b" not in text
    assert "<script>" not in text
    assert not re.search(r"^## neither", text, re.MULTILINE)


def test_many_evaluations_give_the_newest_and_the_best() -> None:
    events = [Evaluated(step=at, rows=16, accuracy=0.9 if at == 3 else 0.5) for at in range(1, 50)]
    rows = [line for line in section(page(made_run("bold-fox", events)), "Held-out rows").splitlines() if "%" in line]
    assert len(rows) == SHOWN_EVALUATIONS + 1
    assert rows[0].startswith("| 3 | 90%")
    assert rows[-1].startswith("| 49 |")


def test_page_and_curves_are_written_side_by_side_or_not_at_all(tmp_path: Path) -> None:
    run, target = made_run("bold-fox", [step(1), step(2)]), tmp_path / "out.md"
    assert write_page(run, target, force=False) == (target, tmp_path / "out.svg")
    assert "](<out.svg>)" in target.read_text(encoding="utf-8")
    assert "<svg" in (tmp_path / "out.svg").read_text(encoding="utf-8")
    target.unlink()
    with pytest.raises(UserError, match=r"out\.svg.*exists already"):
        write_page(run, target, force=False)
    assert not target.exists()
    write_page(run, target, force=True)
    assert target.exists()
