"""What a run survives: real workers are killed, their files torn, their disk filled, their terminal dropped.

    python benchmarks/faults.py --kills 100 --tears 20

Every fault hits a real run of a tiny model. After each one: nothing but the steps since the last checkpoint is lost,
``events.jsonl`` is readable, the run resumes, no process is left behind; and in the end its curve and its adapter are
those of a run that nothing happened to, bit by bit (fp32 on the processor).
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from fault_surroundings import clock, full_disk, reboot, terminals
from faulty import Place, Tally, events_of, go_on, gone, moment, settle, untouched, victims

from kto_tui.runs.events import Ended
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import start
from kto_tui.runs.state import OVER

ROOT = Path(__file__).parents[1]
KINDS = ("kills", "tears", "full_disk", "terminals", "clock", "reboot")


def kills(place: Place, reference: RunFolder, times: int) -> Iterator[Tally]:
    """kill -9 the training process, the supervisor or both: while starting, training, or writing a checkpoint."""
    tallies = {kind: Tally(fault=f"kill -9 while {kind}") for kind in ("starting", "training", "saving")}
    run, done, damaged = start(place.config()), 0, 0
    while done < times:
        kind = moment(run, place.rng)
        if run.status(run.read_state()) in OVER:
            settle(run, tallies["training"], reference)
            run, damaged = start(place.config()), 0
            continue
        tally = tallies[kind]
        for process in victims(run, place.rng):
            with contextlib.suppress(Exception):
                process.kill()
        done, tally.times = done + 1, tally.times + 1
        gone(run, tally)
        told, unreadable = events_of(run)
        tally.unreadable_lines += unreadable - damaged
        damaged = unreadable
        if any(isinstance(event, Ended) and event.reason == "finished" for event in told):
            settle(run, tally, reference)
            run, damaged = start(place.config()), 0
            continue
        go_on(run, tally, told)
    settle(run, tallies["training"], reference)
    yield from tallies.values()


def tears(place: Place, reference: RunFolder, times: int) -> Iterator[Tally]:
    """Kill everything, then cut off or overwrite a random part of a random file."""
    tally = Tally(fault="a file torn at a random byte")
    run = start(place.config())
    for _ in range(times):
        moment(run, place.rng)
        if run.status(run.read_state()) in OVER:
            settle(run, tally, reference)
            run = start(place.config())
            moment(run, place.rng)
        for process in victims(run, place.rng):
            with contextlib.suppress(Exception):
                process.kill()
        gone(run, tally)
        told, _ = events_of(run)
        tear(run, place.rng)
        tally.times += 1
        go_on(run, tally, told, torn=True)
    settle(run, tally, reference)
    yield tally


def tear(run: RunFolder, rng: random.Random) -> None:
    """Damage one file: its end is cut off, or one byte is another."""
    newest = sorted(run.checkpoints.glob("checkpoint-*"), key=lambda path: path.stat().st_mtime)[-1:]
    files = [path for folder in newest for path in folder.rglob("*") if path.is_file()]
    files += [run.control, run.identity, run.events]
    path = rng.choice([path for path in files if path.exists() and path.stat().st_size])
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content))
    if path == run.events:  # a crash tears the last line only
        at = rng.randrange(content.rstrip(b"\n").rfind(b"\n") + 1, len(content))
    if path == run.events or rng.random() < 0.5:
        del content[at:]
    else:
        content[at] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--tears", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", metavar="KIND", choices=KINDS, default=KINDS, help=", ".join(KINDS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.tiny import make_rows, write_jsonl

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ |= {"KTO_TUI_HOME": folder, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-m", "tests.tiny", f"{folder}/model"], check=True, cwd=ROOT)
        rows = write_jsonl(home / "rows.jsonl", make_rows(80))
        rng = random.Random(options.seed)  # noqa: S311 - a seed, so that it can be run again
        place = Place(home, home / "model", rows, options.steps, rng)
        reference = untouched(place)
        found: list[Tally] = []
        kinds: dict[str, Callable[[], Iterator[Tally]]] = {
            "kills": lambda: kills(place, reference, options.kills),
            "tears": lambda: tears(place, reference, options.tears),
            "full_disk": lambda: full_disk(place, reference),
            "terminals": lambda: terminals(place, reference),
            "clock": lambda: clock(place, reference),
            "reboot": lambda: reboot(place, reference),
        }
        for name, kind in kinds.items():
            if name in options.only:
                for tally in kind():
                    found.append(tally)
                    if not options.json:
                        print(line(tally), flush=True)
    if options.json:
        print(json.dumps([{**msgspec.to_builtins(one), "losses": one.losses} for one in found], indent=2))
    sys.exit(1 if any(one.losses for one in found) else 0)


def line(tally: Tally) -> str:
    """A row of the table."""
    cells = (
        tally.fault, tally.times, tally.redone_steps, tally.lost_checkpoints, tally.unreadable_lines,
        tally.not_resumed, tally.orphans, tally.differing, tally.remark,
    )  # fmt: skip
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
