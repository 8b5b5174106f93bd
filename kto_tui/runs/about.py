"""What a person calls a run: a title, tags and a note, in ``about.toml`` beside its events. Its id stays."""

import contextlib
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kto_tui.atomic import write_atomically
from kto_tui.errors import UserError

TITLE_LENGTH = 60
TAG_LENGTH = 24
TAGS = 8
NOTE_LENGTH = 2000


class About(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A person's words for a run; empty where there are none."""

    title: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""


def _short(text: str, limit: int, what: str) -> str:
    text = text.strip()
    if len(text) > limit:
        raise UserError(f"{what} of {len(text)} characters is too long", mend=f"Use at most {limit}")
    if not text.isprintable():
        raise UserError(f"{what} {text!r} has characters that cannot be shown", mend="Leave them out")
    return text


def check_title(text: str) -> str:
    """``text`` without white space around it; empty for none.

    Raises:
        UserError: too long, not printable, or ``last``, which already means the newest run.
    """
    if text.strip() == "last":
        raise UserError("The word last already means the newest run", mend="Choose another title")
    return _short(text, TITLE_LENGTH, "A title")


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """``tags``, each once, in the order given.

    Raises:
        UserError: too many, or one that is empty, too long, not printable, or has a space or a comma in it.
    """
    found = tuple(dict.fromkeys(_short(tag, TAG_LENGTH, "A tag") for tag in tags))
    if bad := [tag for tag in found if not tag or "," in tag or len(tag.split()) > 1]:
        raise UserError(f"{bad[0]!r} is not a tag", mend="Use one word without commas")
    if len(found) > TAGS:
        raise UserError(f"{len(found)} tags are too many", mend=f"Use at most {TAGS}")
    return found


def split_tags(text: str) -> tuple[str, ...]:
    """Tags as a person types them, with spaces or commas between."""
    return check_tags(text.replace(",", " ").split())


def check_note(text: str) -> str:
    """``text`` without white space around it; line breaks may be in it.

    Raises:
        UserError: too long or not printable.
    """
    for line in text.splitlines() or [""]:
        _short(line, NOTE_LENGTH, "A note")
    if len(text) > NOTE_LENGTH:
        raise UserError(f"A note of {len(text)} characters is too long", mend=f"Use at most {NOTE_LENGTH}")
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def read_about(path: Path) -> About:
    """What ``path`` says; nothing where there is no such file.

    Raises:
        UserError: it cannot be read, or says something else.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), About)
        return About(title=check_title(found.title), tags=check_tags(found.tags), note=check_note(found.note))
    except FileNotFoundError:
        return About()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, UserError) as error:
        reason = error.what if isinstance(error, UserError) else str(error)
        what = f"Title, tags and note cannot be read ({reason})"
        raise UserError(what, mend="Mend or delete it", where=str(path)) from None


def known_about(path: Path) -> About:
    """As ``read_about``, for lists: a damaged file says nothing."""
    with contextlib.suppress(UserError):
        return read_about(path)
    return About()


def change_about(
    path: Path, *, title: str | None = None, tags: Iterable[str] | None = None, note: str | None = None
) -> About:
    """Write what is not None, atomically, and return everything that holds now.

    Raises:
        UserError: a value is not allowed, another run has that title, or the file cannot be read or written.
    """
    now = read_about(path)
    changed = About(
        title=now.title if title is None else check_title(title),
        tags=now.tags if tags is None else check_tags(tags),
        note=now.note if note is None else check_note(note),
    )
    if title is not None and changed.title:
        _require_free(changed.title, path)
    import tomli_w

    try:
        write_atomically(path, tomli_w.dumps(msgspec.to_builtins(changed)).encode())
    except OSError as error:
        raise UserError(f"It cannot be written ({error.strerror})", mend="Free the disk", where=str(path)) from None
    return changed


def _require_free(title: str, path: Path) -> None:
    """A run is found by its title, so no two have the same."""
    run = path.parent
    for other in run.parent.iterdir():
        names = {other.name.casefold(), known_about(other / path.name).title.casefold()}
        if other != run and title.casefold() in names:
            raise UserError(f"The run {other.name} is already called {title}", mend="Choose another title")
