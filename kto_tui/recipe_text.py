"""Recipe values as people type and read them."""

import contextlib

from kto_tui.recipe import Field, Value, convert, field_named
from kto_tui.units import compact

WORDS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}


def parse_value(name: str, text: str) -> Value:
    """What a person typed for field ``name`` as a value; empty text is automatic where the field allows it."""
    return parse(field_named(name), text, where=f"[recipe] {name}")


def parse(field: Field, text: str, *, where: str) -> Value:
    """As ``parse_value``, for any field; ``where`` is what an error is about."""
    text = text.strip()
    word = text.lower()
    value: object = text or None
    if field.kind == "bool" and word in WORDS:
        value = WORDS[word]
    elif field.kind in {"int", "float"}:
        with contextlib.suppress(ValueError):
            number = float(text)
            value = int(number) if number.is_integer() and field.kind == "int" else number
    return convert(field, value, where=where)


def show_value(field: Field, value: Value) -> str:
    """A field's value for people."""
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    text = compact(float(value)) if isinstance(value, int | float) else str(value)
    return f"{text} {field.unit.removesuffix('s') if text == '1' else field.unit}".rstrip()
