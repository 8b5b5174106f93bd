"""What the machine is inside of: container, Windows, SSH session, terminal multiplexer."""

from kto_tui.hardware.sources import Sources

MULTIPLEXERS = {"TMUX": "tmux", "STY": "screen", "ZELLIJ": "zellij"}  # tmux(1), screen(1), zellij's manual


def container(sources: Sources) -> str | None:
    """Docker, podman, kubernetes, lxc ...; None when nothing says so.

    Signs: the variables Kubernetes gives every pod, the files docker and podman leave, systemd's container interface
    (the variable ``container``, /run/systemd/container), and names of control groups.
    """
    if "KUBERNETES_SERVICE_HOST" in sources.env:
        return "kubernetes"
    for file, name in (("run/.containerenv", "podman"), (".dockerenv", "docker")):
        if sources.exists(file):
            return name
    told = sources.env.get("container") or sources.text("run/systemd/container")
    if told and told != "wsl":
        return told
    groups = sources.text("proc/self/cgroup") or ""
    signs = {"kubepods": "kubernetes", "libpod": "podman", "/docker": "docker", "/lxc": "lxc"}
    return next((name for sign, name in signs.items() if sign in groups), None)


def wsl(sources: Sources) -> int | None:
    """Version of the Windows Subsystem for Linux by the kernel's name; None elsewhere.

    Version 1 calls itself ``4.4.0-19041-Microsoft``, version 2 ``5.15.153.1-microsoft-standard-WSL2``.
    """
    release = (sources.text("proc/sys/kernel/osrelease") or "").lower()
    return None if "microsoft" not in release else 2 if "microsoft-standard" in release or "wsl2" in release else 1


def over_ssh(sources: Sources) -> bool:
    """Whether sshd(8) started this session."""
    return bool(sources.env.get("SSH_CONNECTION") or sources.env.get("SSH_TTY"))


def multiplexer(sources: Sources) -> str | None:
    """The terminal multiplexer this runs in; None when nothing says so."""
    return next((name for variable, name in MULTIPLEXERS.items() if sources.env.get(variable)), None)


def system(sources: Sources) -> str:
    """The operating system and its version."""
    if sources.system == "Darwin":
        return (
            f"macOS {sources.sysctl['kern.osproductversion']}" if "kern.osproductversion" in sources.sysctl else "macOS"
        )
    return f"{sources.system} {sources.release}"
