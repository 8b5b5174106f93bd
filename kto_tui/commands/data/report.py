"""What an examination found, in lines for people and as a record for programs."""

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from kto_tui import units
from kto_tui.choices import DataChoices, Role
from kto_tui.commands.data.verdict import Verdict, eq8
from kto_tui.commands.printing import print_table
from kto_tui.data.by_method import unused
from kto_tui.data.checks.finding import Finding
from kto_tui.data.checks.parts import beginning
from kto_tui.data.labels import Scalar
from kto_tui.data.report import LabelValue, Report
from kto_tui.data.shown import Browser
from kto_tui.methods.kto import BALANCE_HIGH, BALANCE_LOW
from kto_tui.plain import escaped

HEAD = 12
PIPE_WIDTH = 100
SHOWN_VALUES = 10
SHOWN_IGNORED = 12
EXCERPT = 40
READ_AS = {True: "good", False: "bad", None: "no label"}


def put(head: str, text: str) -> None:
    """Print ``text`` beside its ``head``, folded to the terminal's width."""
    width = max(40, shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else PIPE_WIDTH)
    lines = textwrap.wrap(escaped(text), width - HEAD, break_on_hyphens=False) or [""]
    for i, line in enumerate(lines):
        print(f"{'' if i else head:{HEAD}}{line}".rstrip())


def shown(value: Scalar) -> str:
    """A label's value as it is in the file, the beginning of a long one."""
    return "(none)" if value is None else _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return escaped(text[:EXCERPT] + ("…" if len(text) > EXCERPT else ""))


def print_report(report: Report, choices: DataChoices, verdict: Verdict, tokens: str) -> None:
    """All that was found, the most important last."""
    form = report.form
    put("Data", report.path)
    put("Format", f"{report.format} ({units.percent(report.format_confidence)}): {report.format_because}")
    put("Shape", f"{form.title} ({units.percent(form.confidence)}): {form.because}")
    put("Columns", _columns(form.columns))
    put("Rows", _rows(report))
    put("Labels", report.labels_because + ("" if report.confirmed else "; NOBODY HAS CONFIRMED THAT"))
    _print_values(report, choices)
    put("Balance", f"{report.desirable:,} good and {report.undesirable:,} bad")
    if report.weights is not None:
        put("", _weights(report))
    put("Tokens", tokens)
    for finding in report.findings:
        print()
        _print_finding(finding, accepted=finding.id in choices.fixes)
    if not report.findings:
        put("Checks", "nothing was found")
    print()
    put("Fingerprint", report.fingerprint)
    put("Next", verdict.next)


def _columns(columns: Mapping[str, Role]) -> str:
    used = [f"{name}: {role}" for name, role in columns.items() if role != "ignore"]
    ignored = [name for name, role in columns.items() if role == "ignore"]
    others = ", ".join(ignored[:SHOWN_IGNORED]) + (", ..." if len(ignored) > SHOWN_IGNORED else "")
    return ", ".join(used) + (f"; ignored: {others}" if ignored else "")


def _rows(report: Report) -> str:
    records = f"{report.rows:,} in {report.records:,} records" if report.records != report.rows else f"{report.rows:,}"
    sampled = f"; {report.looked_at:,} of them, chosen by a seed, were looked at in depth (--full: all)"
    used = f"{report.trained:,} would be trained on"
    if report.method == "sft" and report.undesirable:
        used += f"; {unused(report.undesirable)}"
    return f"{records}, {used}" + (sampled if report.looked_at < report.rows else "")


def _weights(report: Report) -> str:
    weights = report.weights
    assert weights is not None  # noqa: S101 - asked before
    return (
        f"weights {units.compact(weights.desirable)} and {units.compact(weights.undesirable)}: {weights.because}; "
        f"the weighted ratio is {eq8(report):.2f}, and should be {BALANCE_LOW:.2f} to {BALANCE_HIGH:.2f}"
    )


def _print_values(report: Report, choices: DataChoices) -> None:
    rows = Browser(Path(report.store), choices)
    print_table(
        ["  Value", "Read as", "Rows", "For example"],
        [
            [f"  {shown(one.value)}", READ_AS[one.label], units.count(one.count), _example(one, rows)]
            for one in report.values[:SHOWN_VALUES]
        ],
        ["For example"],
    )
    if (more := len(report.values) - SHOWN_VALUES) > 0:
        put("", f"and {more} other values or more")


def _example(value: LabelValue, rows: Browser) -> str:
    row = rows.row(value.row)
    return f"row {value.row:,}: {_short(' '.join(beginning(row.completion)[: 4 * EXCERPT].split()))}"


def _print_finding(finding: Finding, *, accepted: bool) -> None:
    put("accepted" if accepted else finding.severity.upper(), f"{finding.title} [{finding.id}]")
    if finding.places:
        more = ", ..." if finding.count > len(finding.places) else ""
        rows = ", ".join(map(units.count, finding.rows[: len(finding.places)]))
        put("", f"at {', '.join(dict.fromkeys(finding.places))}{more} (row {rows}{more})")
    put("", finding.why)
    if finding.fix is not None and not accepted:
        put("", f"--fix {finding.id}: {finding.fix}")


def record(report: Report, choices: DataChoices, verdict: Verdict) -> dict[str, Any]:
    """The same as one object.

    Its names: ``path``, ``format`` with its ``confidence`` (0 to 1) and ``because``, ``shape``, ``columns`` (name to
    role), ``records``, ``rows``, ``kept``, ``desirable``, ``undesirable`` (of the kept), ``labels`` (``values``,
    ``because``, ``confirmed``), ``weights`` with ``ratio`` and Eq. 8's ``range`` (null while a label is missing and
    for SFT), ``method``, ``trained`` (of the kept, rows that it would train on),
    ``characters``, ``checks``, ``looked_at`` (rows of the dear checks), ``choices`` as of ``run.toml``,
    ``ready`` (it can be trained on), ``next``, ``fingerprint``, ``store``, ``bytes_read``, ``seconds``.
    """
    found = msgspec.to_builtins(report)
    form, weights = found.pop("form"), found.pop("weights")
    columns = form.pop("columns")
    form["name"] = form.pop("shape")
    labels = {
        "values": found.pop("values"),
        "because": found.pop("labels_because"),
        "confirmed": found.pop("confirmed"),
    }
    checks = [one | {"accepted": one["id"] in choices.fixes} for one in found.pop("findings")]
    if weights is not None:
        weights |= {"ratio": eq8(report), "range": [BALANCE_LOW, BALANCE_HIGH]}
    return {
        "path": found.pop("path"),
        "format": found.pop("format"),
        "confidence": found.pop("format_confidence"),
        "because": found.pop("format_because"),
        "shape": form,
        "columns": columns,
        **found,
        "trained": report.trained,
        "labels": labels,
        "weights": weights,
        "checks": checks,
        "choices": choices,
        "ready": verdict.ready,
        "next": verdict.next,
    }
