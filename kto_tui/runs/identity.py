"""Who runs a run: an identity that survives re-used process ids and moved clocks."""

import contextlib
import os
import socket
import uuid
from pathlib import Path

import msgspec
import psutil

from kto_tui.atomic import write_atomically


class Identity(msgspec.Struct, frozen=True):
    """One process on one boot of one host. ``start``: clock ticks since boot on Linux, else creation time."""

    host: str
    boot: str
    pid: int
    start: str


def boot_id() -> str:
    """Of the host as it runs now; another one after every start."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"boot-{int(psutil.boot_time())}"


def _start_of(pid: int) -> str | None:
    """Start of process ``pid``, or None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    else:
        # proc(5): the command is in parentheses and may hold anything; state is field 3, starttime field 22.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else fields[19]
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def own_identity() -> Identity:
    """The identity of this process."""
    pid = os.getpid()
    return Identity(socket.gethostname(), boot_id(), pid, _start_of(pid) or uuid.uuid4().hex)


def is_alive(identity: Identity) -> bool | None:
    """Whether that very process still runs; None when it belongs to another host."""
    if identity.host != socket.gethostname():
        return None
    if identity.boot != boot_id():
        return False
    start = _start_of(identity.pid)
    return start == identity.start or (start is None and _is_hidden(identity.pid))


def _is_hidden(pid: int) -> bool:
    """Whether ``pid`` is another user's and the system shows nobody else's processes (proc(5), hidepid)."""
    if os.access(f"/proc/{pid}/stat", os.R_OK):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def write_identity(path: Path, identity: Identity) -> None:
    """Put ``identity`` where readers of the run look for it."""
    write_atomically(path, msgspec.json.encode(identity))


def read_identity(path: Path) -> Identity | None:
    """The identity stored at ``path``; None when there is none yet."""
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    return None
