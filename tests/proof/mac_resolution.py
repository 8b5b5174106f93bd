"""``python mac_resolution.py X.Y REPORT``: pip resolves ``kto-tui[mlx]`` as on Apple Silicon and installs nothing.

pip's --platform chooses another machine's wheels but evaluates markers such as ``sys_platform == 'darwin'`` for its
own; here they see a Mac as well.
"""

import sys
import tomllib
from pathlib import Path

from pip._internal.cli.main import main
from pip._vendor.packaging import markers

ROOT = Path(__file__).parents[2]


def mac(python: str) -> dict[str, str]:
    """PEP 508's environment markers of a Mac with Apple Silicon and macOS 14."""
    return {
        "implementation_name": "cpython", "implementation_version": f"{python}.0", "os_name": "posix",
        "platform_machine": "arm64", "platform_python_implementation": "CPython", "platform_release": "23.6.0",
        "platform_system": "Darwin", "platform_version": "Darwin Kernel Version 23.6.0",
        "python_full_version": f"{python}.0", "python_version": python, "sys_platform": "darwin",
    }  # fmt: skip


if __name__ == "__main__":
    python, report = sys.argv[1:]
    markers.default_environment = lambda: mac(python)  # type: ignore[assignment, return-value]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["mlx"]]
    where = ["--platform", "macosx_14_0_arm64", "--python-version", python, "--implementation", "cp"]
    how = ["--dry-run", "--ignore-installed", "--quiet", "--report", report, "--target", f"{report}.never"]
    constraints = str(ROOT / "constraints.txt")
    sys.exit(main(["install", *how, *where, "--only-binary=:all:", "--constraint", constraints, *wanted]))
