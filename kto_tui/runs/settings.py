"""What may be changed while a run trains, each with its bounds."""

from typing import Annotated

import msgspec
from msgspec import Meta

from kto_tui.errors import UserError
from kto_tui.recipe import Field, convert, field_named, field_of
from kto_tui.recipe_text import parse
from kto_tui.runs.control import Setting

PROMPTS = "sample_prompts"
MOST_PROMPTS, MOST_CHARACTERS = 16, 4000
_INTERVALS = ("log_every", "eval_every", "sample_every", "save_every")
_PLAIN = {"common": False, "unit": ""}


class Settable(msgspec.Struct, frozen=True):
    """One thing that can be changed: how it is called, what it does and what it may be.

    ``field``: that checks it; None for prompts.
    """

    title: str
    type: str
    bounds: str
    help: str
    field: Field | None = None


def _numeric(field: Field) -> Settable:
    kind = "a whole number" if field.kind == "int" else "a number"
    return Settable(field.label, f"{kind}, or nothing" if field.optional else kind, field.bounds, field.help, field)


_FIELDS = (
    *(field_named(name) for name in _INTERVALS),
    field_of(
        "learning_rate_scale",
        Annotated[
            float,
            Meta(
                gt=0,
                le=10,
                title="Learning rate scale",
                description="Factor on the planned learning rate",
                extra=_PLAIN,
            ),
        ],
    ),
    field_of(
        "stop_after",
        Annotated[
            Annotated[int, Meta(ge=1, le=1_000_000)] | None,
            Meta(
                title="Stop after",
                description="End after this step as if it were the last; empty: as planned",
                extra={"common": False, "unit": "steps"},
            ),
        ],
    ),
)
SETTABLE: dict[str, Settable] = {field.name: _numeric(field) for field in _FIELDS} | {
    PROMPTS: Settable(
        "Sample prompts",
        "texts, one a line, or nothing",
        f"at most {MOST_PROMPTS} of at most {MOST_CHARACTERS} characters",
        "Prompts to answer besides the fixed ones",
    )
}


def _settable(name: str) -> Settable:
    if name in SETTABLE:
        return SETTABLE[name]
    raise UserError("This cannot be changed while a run trains", mend=f"Choose {', '.join(SETTABLE)}", where=name)


def check_setting(name: str, value: object) -> Setting:
    """``value`` as the type of ``name``; None: automatic, as planned, or no prompts.

    Raises:
        UserError: no such name, or a value out of bounds.
    """
    settable = _settable(name)
    if settable.field is not None:
        return convert(settable.field, value, where=name)
    prompts = () if value is None else value
    if not isinstance(prompts, list | tuple) or not all(isinstance(prompt, str) for prompt in prompts):
        raise UserError(f"{settable.title} cannot be {value!r}", mend=f"Give {settable.type}", where=name)
    texts = tuple(dict.fromkeys(prompt.strip() for prompt in prompts if prompt.strip()))
    if len(texts) > MOST_PROMPTS or any(len(text) > MOST_CHARACTERS for text in texts):
        longest = max(map(len, texts))
        raise UserError(
            f"{len(texts)} prompts of up to {longest} characters are too many",
            mend=f"Give {settable.bounds}",
            where=name,
        )
    return texts


def parse_setting(name: str, text: str) -> Setting:
    """What a person typed for ``name``; empty text is None where that is allowed. Prompts stand on lines of their own.

    Raises:
        UserError: as ``check_setting``.
    """
    field = _settable(name).field
    return check_setting(name, text.splitlines()) if field is None else parse(field, text, where=name)
