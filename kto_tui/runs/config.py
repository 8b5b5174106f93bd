"""``run.toml``: every choice of one run, frozen when the run starts."""

import os
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe, check_recipe, check_value, field_named

VERSION = 1
BACKENDS = ("hf", "mlx")
TABLES = {"recipe", "choices", "because"}


class RunConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Every choice of a run.

    Attributes:
        model: catalog id, hub id or absolute path of a local folder.
        data: absolute path of a file or folder, or ``starter``.
        heldout: path of a held-out file; None splits one off ``data``.
        trial: train on the first 200 mixed rows only.
        choices: what was decided about the data.
        because: why an automatic value is what it is, by field name.
        data_fingerprint: SHA-256 of the rows when the run was set up; a changed file is noted.
    """

    model: str
    data: str
    recipe: Recipe
    heldout: str | None = None
    trial: bool = False
    backend: str = "hf"
    choices: DataChoices = DataChoices()
    because: dict[str, str] = msgspec.field(default_factory=dict)
    data_fingerprint: str | None = None
    version: int = VERSION


class RunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wrote in a TOML file: the same choices, most of them optional."""

    model: str
    data: str
    heldout: str | None = None
    trial: bool = False
    backend: str | None = None
    choices: DataChoices = DataChoices()
    overrides: dict[str, Any] = msgspec.field(default_factory=dict)
    because: dict[str, str] = msgspec.field(default_factory=dict)


def _beside(path: str | None, folder: Path) -> str | None:
    """Relative file names in a TOML file are relative to that file; hub ids and ``starter`` stay as they are."""
    if path is None or path == "starter":
        return path
    expanded = os.path.expanduser(path)  # noqa: PTH111 - pathlib raises on ~nobody, and below on names too long
    if os.path.isabs(expanded) or not os.path.exists(folder / expanded):  # noqa: PTH110, PTH117
        return expanded
    return str((folder / expanded).resolve())


def _read_toml(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise UserError("This is not a file", mend="Name a TOML file", where=str(path))
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError("There is no such run file", mend="Check the path", where=str(path)) from None
    except OSError as error:
        raise UserError(
            f"The run file cannot be read ({error.strerror or error})",
            mend="Name a readable TOML file",
            where=str(path),
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"The run file is not TOML ({error})", mend="Mend that line", where=str(path)) from None


def read_request(path: Path) -> RunRequest:
    """A run file as written by a person or by kto-tui itself.

    Raises:
        UserError: missing file, broken TOML, unknown or missing keys, values out of bounds.
    """
    table = _read_toml(path)
    recipe = table.pop("recipe", {})
    if not isinstance(recipe, dict):
        raise UserError("recipe is not a table", mend="Write it as [recipe] with one key per line", where=str(path))
    known = {"model", "data", "heldout", "trial", "backend", "choices", "because", "data_fingerprint", "version"}
    for key in table:
        if key not in known:
            try:
                field_named(key)
            except UserError:
                raise UserError(
                    f"Unknown key {key!r}",
                    mend=f"Use one of {', '.join(sorted(known | {'recipe'}))}",
                    where=str(path),
                ) from None
            raise UserError(f"The key {key!r} belongs into the recipe", mend="Move it below [recipe]", where=str(path))
    for key in ("model", "data"):
        if key not in table:
            raise UserError(f"The run file names no {key}", mend=f'Add a line like {key} = "..."', where=str(path))
    version = table.pop("version", VERSION)
    if version != VERSION:
        raise UserError(f"This run file has version {version}", mend=f"Write version = {VERSION}", where=str(path))
    table.pop("data_fingerprint", None)
    try:
        overrides = {name: check_value(name, value) for name, value in recipe.items()}
        request = msgspec.convert({**table, "overrides": overrides}, RunRequest)
    except msgspec.ValidationError as error:
        raise UserError(f"A value has the wrong type ({error})", mend="Mend that key", where=str(path)) from None
    except UserError as error:
        raise UserError(error.what, mend=error.mend, where=f"{path} {error.where}") from None
    if request.backend not in {None, *BACKENDS}:
        raise UserError(
            f"Unknown backend {request.backend!r}",
            mend=f"Use {' or '.join(BACKENDS)}",
            where=f"{path} backend",
        )
    folder = path.resolve().parent
    return msgspec.structs.replace(
        request,
        model=_beside(request.model, folder) or request.model,
        data=_beside(request.data, folder) or request.data,
        heldout=_beside(request.heldout, folder),
    )


def to_toml(config: RunConfig) -> str:
    """The text of ``run.toml``; values left automatic (None) are left out."""
    import tomli_w

    table = msgspec.to_builtins(config)
    plain = {key: value for key, value in table.items() if value is not None and key not in TABLES}
    plain["recipe"] = {key: value for key, value in table["recipe"].items() if value is not None}
    if table["choices"]:
        plain["choices"] = table["choices"]
    if config.because:
        plain["because"] = config.because
    return tomli_w.dumps(plain)


def load_config(path: Path) -> RunConfig:
    """The frozen configuration of an existing run."""
    table = _read_toml(path)
    try:
        config = msgspec.convert(table, RunConfig)
    except msgspec.ValidationError as error:
        raise UserError(
            f"This run's configuration cannot be read ({error})", mend="Start the run again", where=str(path)
        ) from None
    try:
        check_recipe(config.recipe)
    except UserError as error:
        raise UserError(error.what, mend=error.mend, where=f"{path} {error.where}") from None
    return config
