"""A row as the model sees it, in lines: which tokens are special, which are trained on, which are cut off."""

from collections.abc import Iterator, Sequence

from textual.content import Content

from kto_tui.data.tokens.rendered import Piece, Rendered
from kto_tui.tui.visible import visible

# What is asked, what is trained on, what is lost: how the part is called, what its lines begin with, how they look.
PARTS = {
    "prompt": ("prompt", "  ", "dim"),
    "completion": ("completion, trained on", "> ", "bold"),
    "cut": ("cut off, beyond max_length", "x ", "dim strike"),
}
SPECIAL = "reverse"
SHOWN_CHARACTERS = 4_000  # of one piece, from both its ends


def rendered_lines(rendered: Rendered, width: int) -> list[Content]:
    """Each part below a line with its name and its tokens; special tokens are drawn in reverse."""
    lines: list[Content] = []
    for part, pieces in _parts(rendered.pieces):
        name, mark, style = PARTS[part]
        tokens = sum(piece.tokens for piece in pieces)
        lines.append(Content.assemble((f"─── {name}: {tokens:,} tokens ".ljust(width, "─"), "dim")))
        text = Content.assemble(
            *((_shown(piece.text), SPECIAL if piece.kind == "special" else style) for piece in pieces)
        )
        lines += [Content.assemble((mark, style), line) for line in text.wrap(width - len(mark))]
    return lines


def summary(rendered: Rendered) -> str:
    """How long the row is, and what becomes of it."""
    total = rendered.prompt_tokens + rendered.completion_tokens
    told = [f"{total:,} tokens: {rendered.prompt_tokens:,} prompt, {rendered.completion_tokens:,} completion"]
    if rendered.dropped:
        told.append("DROPPED: nothing of the completion is left to train on")
    elif rendered.cut_tokens:
        told.append(f"CUT: {rendered.cut_tokens:,} tokens are beyond max_length {rendered.max_length:,}")
    if rendered.lost_prompt:
        told.append(f"the template leaves out {rendered.lost_prompt:,} tokens of the prompt once an answer follows")
    return " · ".join(told)


def _parts(pieces: Sequence[Piece]) -> Iterator[tuple[str, list[Piece]]]:
    """Neighbouring pieces of prompt, completion or what is cut; special tokens belong to what they stand in."""
    found: list[Piece] = []
    now = ""
    for piece in pieces:
        part = "cut" if piece.kind == "cut" else "completion" if piece.trained else "prompt"
        if part != now and found:
            yield now, found
            found = []
        now = part
        found.append(piece)
    if found:
        yield now, found


def _shown(text: str) -> str:
    if len(text) > SHOWN_CHARACTERS:
        half = SHOWN_CHARACTERS // 2
        return f"{visible(text[:half])}\n[{len(text) - 2 * half:,} characters]\n{visible(text[-half:])}"
    return visible(text)
