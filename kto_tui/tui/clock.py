"""Time of day for people."""

import time


def clock_time(unix_seconds: float) -> str:
    """Local time as hh:mm:ss."""
    return time.strftime("%H:%M:%S", time.localtime(unix_seconds))
