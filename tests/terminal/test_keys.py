"""Only keys that every terminal and every hop of SSH passes on."""

import importlib
import pkgutil
import string

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import _character_to_key

import kto_tui.tui
from kto_tui.tui.app import KtoApp

for _, name, _ in pkgutil.walk_packages(kto_tui.tui.__path__, "kto_tui.tui."):
    importlib.import_module(name)

NAMED = {"enter", "escape", "tab", "shift+tab", "space", "up", "down", "left", "right", "home", "end"}
NAMED |= {"pageup", "pagedown", "backspace", "delete"}
TYPED = {_character_to_key(character) for character in string.ascii_letters + string.digits + string.punctuation}
# Repairs a screen that others have written to, as everywhere; nothing needs it.
EXTRA = {"ctrl+l"}


def subclasses(kind: type) -> set[type]:
    found = {kind}
    for heir in kind.__subclasses__():
        found |= subclasses(heir)
    return found


OURS = sorted(
    {kind for kind in subclasses(DOMNode) if kind.__module__.startswith("kto_tui")}, key=lambda kind: kind.__qualname__
)


def survives(key: str) -> bool:
    return key in NAMED | TYPED | EXTRA


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_keys_survive_terminals(kind: type) -> None:
    bindings = list(Binding.make_bindings(vars(kind).get("BINDINGS", ())))
    keys = [key for binding in bindings for key in binding.key.split(",")]
    assert [key for key in keys if not survives(key.strip())] == []


def test_the_walk_finds_them() -> None:
    names = {kind.__name__ for kind in OURS}
    assert {"LiveScreen", "RunsScreen", "HardwareScreen", "ConfirmDialog", "KtoApp"} <= names
    assert len([kind for kind in OURS if vars(kind).get("BINDINGS")]) > 15
    assert KtoApp.ENABLE_COMMAND_PALETTE is False, "ctrl+p"


@pytest.mark.parametrize("key", ["ctrl+1", "f5", "ctrl+i", "ctrl+b", "alt+x", "shift+enter", "ctrl+enter", "super+a"])
def test_keys_that_do_not(key: str) -> None:
    assert not survives(key)
