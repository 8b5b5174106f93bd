"""The program that reads an Apple GPU's energy counter: a line ``SECONDS MILLIJOULES`` for each line of its input.

Without root, through zeus-apple-silicon (``AppleEnergyMonitor.get_cumulative_energy`` in the package's README): the
"GPU Energy" channel of IOReport, a library of macOS that Apple does not document. A process of its own, because the
package's native code does not check whether a Mac has such channels, and a supervisor must not end with it.
"""

import sys
import time

# After so many, about an hour, it ends and a fresh one takes over: programs that sample IOReport for days have been
# seen to grow without end (dehydratedpotato/socpowerbud, issue 6).
READINGS = 1800


def main() -> int:
    """Answer until the input ends or ``READINGS`` are done; ``-`` stands for a counter this chip does not have."""
    from zeus_apple_silicon import AppleEnergyMonitor

    monitor = AppleEnergyMonitor()
    for _ in range(READINGS):
        if not sys.stdin.readline():
            break
        drawn = monitor.get_cumulative_energy().gpu_mj
        sys.stdout.write(f"{time.monotonic():.6f} {'-' if drawn is None else drawn}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
