"""The program that examines a data file beside the terminal: ``python -m kto_tui.data.program``, a job as JSON on its
standard input, updates as JSON lines on its standard output.
"""

import contextlib
import os
import signal
import sys

import msgspec

from kto_tui.data.examine import Job, examine
from kto_tui.data.report import Examined, Refused, Update
from kto_tui.errors import UserError

NICENESS = 5


def _say(update: Update) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(update) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    """Examine the job that is told; 0 when it was examined, 1 when it was refused."""
    # So that temporary files are removed when the examination is cancelled.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        _say(Examined(examine(job, _say)))
    except UserError as error:
        _say(Refused(what=error.what, mend=error.mend, where=error.where))
        return 1
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
