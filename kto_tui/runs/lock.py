"""A lock that lasts as long as the processes that have it: flock(2), which the kernel lets go however they end."""

import fcntl
import os
import time
from pathlib import Path

POLL_SECONDS = 0.1


def hold(path: Path, *, wait_seconds: float = 0.0) -> int | None:
    """Lock the file ``path``, which is made where there is none.

    Returns:
        A descriptor; the lock ends once it is closed here and in every process that inherited it. None when another
        process still has the lock after ``wait_seconds``.

    Raises:
        OSError: the file cannot be written, or its disk knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(POLL_SECONDS)
        except OSError:
            os.close(descriptor)
            raise
        else:
            return descriptor
