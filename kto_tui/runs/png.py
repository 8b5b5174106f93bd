"""An SVG as PNG, by way of a package that is installed only by those who want it."""

from kto_tui.errors import UserError

INSTALL = "python -m pip install 'kto-tui[png]'"
ZOOM = 2.0
_WORD = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="8" font-family="{}">{}</text></svg>'


def to_png(svg: str) -> bytes:
    """``svg`` drawn at twice its size.

    Raises:
        UserError: resvg-py is not installed, or this machine has no font to write with.
    """
    try:
        import resvg_py
    except ImportError:
        raise UserError(
            "A PNG needs the package resvg-py, which is not installed",
            mend=f"Install it with: {INSTALL}, or ask for an SVG",
        ) from None
    from kto_tui.runs.svg import FONTS

    if resvg_py.svg_to_bytes(svg_string=_WORD.format(FONTS, "M")) == resvg_py.svg_to_bytes(
        svg_string=_WORD.format(FONTS, "")
    ):
        raise UserError(
            "A PNG cannot have its words drawn: no font is installed",
            mend="Install one (DejaVu, say), or ask for an SVG",
        )
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=ZOOM))
