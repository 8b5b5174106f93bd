"""What ``fit`` may be told as options: what each allows, and the recipe's values they become."""

import contextlib
from collections.abc import Iterator

from kto_tui.errors import UserError
from kto_tui.flags import FLAGS
from kto_tui.recipe import Value, field_named
from kto_tui.recipe_text import parse_value

KINDS = {"bool": "on or off", "int": "a whole number", "float": "a number"}
_OPTIONS = {f"[recipe] {field}": f"--{flag}" for flag, field in FLAGS.items()}


def allowed(flag: str) -> str:
    """The values of an option in words, as the recipe defines them: ``a whole number, at least 1, at most 1024``."""
    field = field_named(FLAGS[flag])
    return ", ".join(part for part in (" or ".join(field.choices) or KINDS[field.kind], field.bounds) if part)


def help_line(flag: str) -> str:
    """What ``--help`` says of an option."""
    return f"{field_named(FLAGS[flag]).label}: {allowed(flag)}"


def parse(given: dict[str, str]) -> dict[str, Value]:
    """What was typed, by option, as the recipe's fields.

    Raises:
        UserError: empty, or not a value of that field.
    """
    for flag, text in given.items():
        if not text.strip():
            label = field_named(FLAGS[flag]).label
            raise UserError(f"{label} has no value", mend=f"Give {allowed(flag)}", where=f"--{flag}")
    return {FLAGS[flag]: parse_value(FLAGS[flag], text) for flag, text in given.items()}


@contextlib.contextmanager
def told_by_option() -> Iterator[None]:
    """An error about a field of the recipe names the option that was typed."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, mend=error.mend, where=_OPTIONS.get(error.where or "", error.where)) from None
