"""Plain TRL against kto-tui's KTO step: total wall time of the same training, runs alternating.

    python benchmarks/throughput.py --rows starter --count 96
    python benchmarks/throughput.py --rows kto_en_demo.json --count 48 --json

Every timed run is a process of its own with empty caches; loading the model is not counted, preparation, reference
passes and training are. Trained tokens are prompt + completion, counted once per row and the same for all.
On a CUDA machine without model files: --shape 0.5b builds a model of that shape with random weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TUNED = ("tuned-2", "tuned-4", "tuned-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="starter", help="starter, or a JSON file of chats with messages and label")
    parser.add_argument("--count", type=int, default=64, help="rows to train on, one epoch")
    parser.add_argument("--rounds", type=int, default=3, help="timed runs of each kind")
    parser.add_argument("--model", default="", help="checkpoint folder; default: the starter model")
    parser.add_argument("--shape", choices=("0.5b", "1.5b"), help="random weights of this shape instead of --model")
    parser.add_argument("--without-default", action="store_true", help="leave TRL's slow defaults out")
    parser.add_argument("--second-run", action="store_true", help="time a second run that finds the first one's cache")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--run", nargs=2, metavar=("KIND", "CACHE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def read_chats(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows as TRL's conversational unpaired format."""
    if options.rows == "starter":
        return read_starter("train")
    chats = json.loads(Path(options.rows).read_text(encoding="utf-8"))
    return [
        {"prompt": chat["messages"][:-1], "completion": chat["messages"][-1:], "label": chat["label"]}
        for chat in chats
        if chat["messages"][-1]["role"] == "assistant"
    ]


def read_starter(part: str) -> list[dict[str, Any]]:
    """The starter set's ``train`` or ``heldout`` rows."""
    from kto_tui.paths import presets

    file = presets() / "data" / "direct-answers" / f"{part}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def environment() -> dict[str, str]:
    """Of the timed processes: this checkout, no hub, no progress bars."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "CI": "1", "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}


def measure(options: argparse.Namespace, kind: str, cache: str) -> dict[str, Any]:
    """One timed run in a fresh process."""
    command = [sys.executable, __file__, "--rows", options.rows, "--count", str(options.count)]
    command += ["--model", options.model] if options.model else []
    command += ["--shape", options.shape] if options.shape else []
    done = subprocess.run(
        [*command, "--run", kind, cache], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{kind} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{kind:10} {result['seconds']:7.1f} s  {result['tokens'] / result['seconds']:6.0f} tok/s  "
        f"peak {result['peak_bytes'] / 2**30:.2f} GiB  loss {result['first_loss']:.4f} -> {result['last_loss']:.4f}  "
        + "  ".join(f"{name} {seconds:.1f}" for name, seconds in result["phases"].items()),
        file=sys.stderr,
        flush=True,
    )
    return result


def ratios(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Median, lowest and highest of the pairwise ratios of one round each."""
    each = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"median": round(statistics.median(each), 3), "low": round(min(each), 3), "high": round(max(each), 3)}


def main() -> None:
    options = arguments()
    if options.run:
        from training import timed_run

        print(json.dumps(timed_run(options, read_chats(options), *options.run)))
        return
    with tempfile.TemporaryDirectory() as folder:
        candidates = {kind: measure(options, kind, "") for kind in TUNED}
        tuned = min(candidates, key=lambda kind: candidates[kind]["seconds"])
        kinds = [tuned, "ours-8", "ours-1"] + ([] if options.without_default else ["default"])
        runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
        second = []
        for turn in range(options.rounds):
            for kind in kinds if turn % 2 == 0 else reversed(kinds):
                cache = f"{folder}/{turn}-{kind}" if kind == "ours-8" else ""
                runs[kind].append(measure(options, kind, cache))
            if options.second_run:
                second.append(measure(options, "ours-8", f"{folder}/{turn}-ours-8"))
    seconds = {kind: [run["seconds"] for run in each] for kind, each in runs.items()}
    report: dict[str, Any] = {
        "rows": options.rows,
        "row_count": runs[tuned][0]["row_count"],
        "tokens": runs[tuned][0]["tokens"],
        "machine": runs[tuned][0]["machine"],
        "tuned": tuned,
        "ratio_vs_tuned": ratios(seconds[tuned], seconds["ours-8"]),
        "ratio_micro_batch_1_vs_tuned": ratios(seconds[tuned], seconds["ours-1"]),
        "runs": runs,
    }
    if not options.without_default:
        report["ratio_vs_default"] = ratios(seconds["default"], seconds["ours-8"])
    if second:
        report["ratio_second_run_vs_tuned"] = ratios(seconds[tuned], [run["seconds"] for run in second])
        report["runs"]["ours-8 again"] = second
    print(json.dumps(report, indent=1) if options.json else table(report))


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = [
        f"{report['rows']}: {report['row_count']} rows, {report['tokens']} tokens, {report['machine']}",
        "",
        "| training | seconds (median) | trained tok/s | peak memory |",
        "|---|---|---|---|",
    ]
    for kind, runs in report["runs"].items():
        middle = statistics.median(run["seconds"] for run in runs)
        peak = max(run["peak_bytes"] for run in runs) / 2**30
        lines.append(f"| {kind} | {middle:.1f} | {report['tokens'] / middle:.0f} | {peak:.2f} GiB |")
    lines.append("")
    lines += [
        f"{name}: {value['median']:.2f} ({value['low']:.2f}-{value['high']:.2f})"
        for name, value in report.items()
        if name.startswith("ratio")
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
