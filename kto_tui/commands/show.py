"""Commands that print: hardware, logs, doctor."""

import sys
import time

import msgspec

from kto_tui.commands.printing import print_json, print_table
from kto_tui.environment import PLANNED, backends, examine
from kto_tui.errors import UserError
from kto_tui.hardware.facts import hardware_rows
from kto_tui.hardware.presets import hardware_presets, machine
from kto_tui.runs.folder import find_run


def hardware(*, as_json: bool, planned_as: str | None = None, list_presets: bool = False) -> int:
    """What this machine is, or one to plan for, and what trains on it; or the machines one can plan for."""
    if list_presets:
        presets = hardware_presets()
        if as_json:
            print_json(presets)
        else:
            print_table(["Name", "Machine", "Assumed"], [[n, one.title, one.assumes] for n, one in presets.items()])
        return 0
    found = machine(planned_as)
    if as_json:
        derived = {name: getattr(found, name) for name in ("device", "precision", "free_training_bytes")}
        print_json({**msgspec.to_builtins(found), **derived})
        return 0
    if planned_as is not None:
        sys.stdout.write(f"plan   {found.host}\n")
    for name, fact in hardware_rows(found):
        sys.stdout.write(f"{name:6} {fact}\n")
    for note in found.notes:
        sys.stdout.write(f"note   {note}\n")
    for name, state in backends(found.accelerator, planned=planned_as is not None):
        sys.stdout.write(f"trains {name}: {state}\n" if planned_as is None else f"trains {name}\n")
        if planned_as is not None:  # what is installed here says nothing about that machine
            break
    sys.stdout.write(f"later  {PLANNED}\n")
    return 0


def logs(run_id: str, *, keep_following: bool) -> int:
    """The worker's log."""
    run = find_run(run_id)
    try:
        with run.log.open("rb") as file:
            while True:
                if block := file.read():
                    sys.stdout.write(block.decode("utf-8", "replace"))
                    sys.stdout.flush()
                elif not keep_following or run.alive() is not True:
                    return 0
                else:
                    time.sleep(0.3)
    except FileNotFoundError:
        raise UserError("This run has no log yet", mend="Try again in a moment", where=str(run.log)) from None
    except KeyboardInterrupt:
        return 0


def doctor(*, as_json: bool) -> int:
    """What is installed, what is missing, and the command that mends it."""
    found = examine()
    if as_json:
        print_json(found)
        return 0
    for one in found:
        sys.stdout.write(f"{one.what:16} {one.state}\n" + (f"{'':16} mend: {one.mend}\n" if one.mend else ""))
    return 0
