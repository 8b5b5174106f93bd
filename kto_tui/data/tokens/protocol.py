"""What the tokenizer program is asked and answers: one JSON line each on its standard input and output."""

import msgspec

from kto_tui.data.rows import Row
from kto_tui.data.tokens.rendered import Rendered


class CountTokens(msgspec.Struct, frozen=True, tag_field="op", tag="lengths"):
    """Asks for the tokens of each row."""

    rows: tuple[Row, ...]


class RenderRow(msgspec.Struct, frozen=True, tag_field="op", tag="render"):
    """Asks for a row as the model sees it."""

    row: Row
    max_length: int | None = None


Request = CountTokens | RenderRow


class Problem(msgspec.Struct, frozen=True):
    """As in ``UserError``."""

    what: str
    mend: str
    where: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the three is there.

    Attributes:
        lengths: tokens of prompt and completion of each row.
        rendered: the row.
        error: why there is neither.
    """

    lengths: tuple[tuple[int, int], ...] | None = None
    rendered: Rendered | None = None
    error: Problem | None = None
