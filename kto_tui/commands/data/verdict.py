"""Whether a data file can be trained on as it is, and what to do next."""

import json
import re
import shlex
from collections.abc import Iterable

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.labels import Scalar, key
from kto_tui.data.report import Report

# With more values than this a threshold is said more easily than a list.
MOST_NAMED = 12
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Verdict(msgspec.Struct, frozen=True):
    """``ready``: training would take it as it is; ``warned``: of something nobody accepted; ``next``: what to do."""

    ready: bool
    warned: bool
    next: str


def judge(report: Report, choices: DataChoices, typed: str) -> Verdict:
    """The verdict on an examination.

    Args:
        report: of it.
        choices: that it was made under.
        typed: how the person named the data.
    """
    left = [finding for finding in report.findings if finding.id not in choices.fixes]
    errors = [finding for finding in left if finding.severity == "error"]
    ready = not errors and report.confirmed and report.teaches
    warned = any(finding.severity == "warning" for finding in left)
    if ready:
        how = "" if report.method == "kto" else ', backend = "mlx" and recipe = { method = "sft" }'
        following = f"Train on it: write {_toml(typed, choices)}{how} into a run file, then kto-tui train RUN.toml"
    elif any(one.label is not None for one in report.values):
        following = _following(report, choices, [(error.id, error.title, error.fix) for error in errors])
    elif report.form.paired or "label" in report.form.columns.values():
        following = "Say what the labels mean: --good=VALUE,... --bad=VALUE,..., or --threshold=N"
    else:
        columns = ", ".join(report.form.columns)
        following = (
            f"Say with --map which column (of {columns}) is the label, or add one to the file; where all answers are "
            "good ones to imitate, add --method=sft --unlabelled=good"
        )
    return Verdict(ready, warned, following)


def _following(report: Report, choices: DataChoices, errors: list[tuple[str, str, str | None]]) -> str:
    if not report.confirmed and {"one_label", "unparsable_label"} <= {name for name, _, _ in errors}:
        said = polarity((one.value, one.label) for one in report.values)
        missing = "bad" if report.undesirable == 0 else "good"
        return f"Say which other labels are {missing}: {shlex.join(said)} --{missing}=VALUE,..."
    one_label = any(name == "one_label" for name, _, _ in errors)
    errors = [error for error in errors if error[0] != "one_label"]
    if beyond := [title for _, title, fix in errors if fix is None]:
        return f"Mend the file: {beyond[0]}"
    flags, why = [], []
    if not report.confirmed:
        flags += polarity((one.value, one.label) for one in report.values)
        why.append("if the labels are read rightly above")
    if errors:
        flags.append(f"--fix={','.join([*choices.fixes, *(name for name, _, _ in errors)])}")
        unsaid = report.method == "sft" and any(name == "missing_label" for name, _, _ in errors)
        instead = "; or --unlabelled=good, if rows without a label are good answers" if unsaid else ""
        why.append(f"to accept the fixes of the errors (or mend the file{instead})")
    if not flags or (one_label and not errors):
        if report.method == "sft" or report.desirable == 0:
            return (
                f"Add rows that are good: {'SFT imitates them' if report.method == 'sft' else 'KTO needs both labels'}"
            )
        return "Add rows that are bad, since KTO needs both labels; or imitate the good ones with --method=sft"
    return f"Add {shlex.join(flags)} {' and '.join(why)}"


def polarity(labels: Iterable[tuple[Scalar, bool | None]]) -> list[str]:
    """The flags that confirm how the values of labels are read."""
    # No dictionary: True is equal to 1.
    read = [(value, label) for value, label in labels if label is not None and key(value)]
    if len(read) > MOST_NAMED:
        return ["--threshold=N"]
    named = {wanted: [_written(value) for value, label in read if label is wanted] for wanted in (True, False)}
    return [f"--{flag}={','.join(named[wanted])}" for flag, wanted in (("good", True), ("bad", False)) if named[wanted]]


def _written(value: Scalar) -> str:
    text = value.strip() if isinstance(value, str) else key(value)
    return text.replace(",", "\\,")


def eq8(report: Report) -> float | None:
    """w_D·n_D / (w_U·n_U) of the kept rows (KTO paper, Eq. 8); None while a label is missing."""
    weights = report.weights
    if weights is None:
        return None
    return weights.desirable * report.desirable / (weights.undesirable * report.undesirable)


def _toml(typed: str, choices: DataChoices) -> str:
    said = f"data = {json.dumps(typed, ensure_ascii=False)}"
    decided = msgspec.to_builtins(choices)
    return f"{said} and choices = {_inline(decided)}" if decided else said


def _inline(value: object) -> str:
    """TOML on one line; of what choices hold."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_inline(one)}" for name, one in value.items()) + " }"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _inline(name)
