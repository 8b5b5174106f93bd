"""How numbers are written for people: the only module that formats a unit. Unknown is "unknown", never 0."""

import math

GIB = 1024**3
MIB = 1024**2
UNKNOWN = "unknown"


def size(n_bytes: float | None) -> str:
    """Binary size of ``n_bytes``: ``82 MiB``, ``6.1 GiB``."""
    if n_bytes is None or not math.isfinite(n_bytes):
        return UNKNOWN
    if n_bytes >= 100 * GIB:
        return f"{n_bytes / GIB:.0f} GiB"
    if n_bytes >= 0.95 * GIB:
        return f"{n_bytes / GIB:.1f} GiB"
    if n_bytes >= MIB:
        return f"{n_bytes / MIB:.0f} MiB"
    return f"{n_bytes / 1024:.0f} KiB"


def duration(seconds: float | None) -> str:
    """Clock form ``h:mm:ss`` of ``seconds``, hours only when there are any."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes:02}:{secs:02}"


def about(seconds: float | None) -> str:
    """An estimated time, no finer than estimates are: ``about 40 s``, ``about 25 min``, ``about 3 h``."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (36 * 3600, 3600, "h")):
        if seconds < limit:
            return f"about {max(1, round(seconds / unit))} {name}"
    return f"about {round(seconds / 86_400)} days"


def energy(watt_hours: float | None) -> str:
    """Energy: ``0.4 Wh``, ``92 Wh``, ``1.3 kWh``."""
    if watt_hours is None or not math.isfinite(watt_hours):
        return UNKNOWN
    if watt_hours < 0.05:
        return "below 0.1 Wh"
    if watt_hours < 999.5:
        return f"{watt_hours:.1f} Wh" if watt_hours < 9.95 else f"{watt_hours:.0f} Wh"
    return f"{watt_hours / 1000:.1f} kWh"


def parameters(count: float | None) -> str:
    """Model size: ``135 M``, ``7.6 B``."""
    if count is None:
        return UNKNOWN
    if count >= 9.995e8:
        return f"{count / 1e9:.1f} B"
    return f"{count / 1e6:.0f} M" if count >= 9.995e5 else f"{count / 1e3:.0f} k"


def count(n: int | None) -> str:
    """Whole number with thousands separators."""
    return UNKNOWN if n is None else f"{n:,}"


def metric(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A measured value, an en dash where there is none (NaN travels as None)."""
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """A share of one as a percentage."""
    return "–" if share is None or not math.isfinite(share) else f"{share:.0%}"  # noqa: RUF001


def compact(value: float) -> str:
    """A hyper-parameter in the shortest exact form: ``1e-4``, ``0.1``, ``32``."""
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:g}"
    plain = next(text for digits in range(6, 18) if float(text := f"{value:.{digits}g}") == value)
    if 1e-3 <= abs(value) < 1e6:
        return plain
    mantissa, exponent = next(text for digits in range(17) if float(text := f"{value:.{digits}e}") == value).split("e")
    short = f"{mantissa}e{int(exponent)}"
    return short if "e" in plain or abs(value) < 1 or len(short) < len(plain) else plain
