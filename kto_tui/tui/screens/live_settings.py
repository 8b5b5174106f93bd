"""What may be changed while a run trains: each with its value in force, changed by a request to the worker."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kto_tui import units
from kto_tui.errors import UserError
from kto_tui.runs.config import RunConfig
from kto_tui.runs.control import Request, Setting
from kto_tui.runs.settings import PROMPTS, SETTABLE, check_setting, parse_setting
from kto_tui.runs.state import RunState
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.visible import one_line
from kto_tui.tui.wizard import KeyLine, complain

TITLE = 22
# What holds before anybody changes it, where the recipe has no say.
PLANNED: dict[str, Setting] = {"learning_rate_scale": 1.0, "stop_after": None, PROMPTS: ()}


def in_force(name: str, state: RunState, config: RunConfig) -> Setting:
    """The value that a person last gave, else the planned one."""
    changed = [one.after for one in state.adjustments if one.by == "person" and one.name == name]
    return changed[-1] if changed else planned(name, config)


def planned(name: str, config: RunConfig) -> Setting:
    """The value that the run was started with."""
    value: Setting = PLANNED[name] if name in PLANNED else getattr(config.recipe, name)
    return value


def shown(name: str, value: Setting) -> str:
    """A value in words."""
    if isinstance(value, tuple):
        return f"{len(value)} besides the fixed ones" if value else "the fixed ones"
    if isinstance(value, int | float):
        return units.compact(value)
    return "as planned" if name in PLANNED else "automatic"


class LiveSettingsScreen(Screen[None]):
    """A line for each setting.

    Args:
        config: of the run.
        state: of the run; ``show`` brings what comes while the screen is open.
        tell: passes a request on; False when nobody hears it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "Change", tooltip="Give the setting under the cursor another value"),
        Binding("d", "reset", "As planned", tooltip="The value that the run was started with"),
        Binding("escape,c,q", "close", "Back", key_display="esc", tooltip="Back to the curves"),
    ]

    def __init__(self, config: RunConfig, state: RunState, tell: Callable[[Request], bool]) -> None:
        super().__init__()
        self._config = config
        self._state = state
        self._tell = tell
        self._asked: dict[str, Setting] = {}

    def compose(self) -> ComposeResult:
        """Heading, settings, what the one under the cursor does, keys."""
        yield Static(Content.styled(" What can be changed while it trains", "bold"), id="rail")
        yield OptionList(id="columns")
        yield Static(id="because", classes="detail")
        yield Static(id="problem")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """The cursor is on the first setting."""
        self._fill()
        self.query_one(OptionList).focus()

    def show(self, state: RunState) -> None:
        """What the worker has taken over since."""
        if state.adjustments != self._state.adjustments:
            self._state = state
            self._asked = {name: value for name, value in self._asked.items() if value != self._value(name)}
            self._fill()

    def _value(self, name: str) -> Setting:
        return in_force(name, self._state, self._config)

    def _fill(self) -> None:
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.set_options([Option(self._line(name), id=name) for name in SETTABLE])
        listed.highlighted = at

    def _line(self, name: str) -> Content:
        asked = f"   asked for: {shown(name, self._asked[name])}" if name in self._asked else ""
        return Content.assemble(SETTABLE[name].title.ljust(TITLE), (shown(name, self._value(name)), "bold"), asked)

    @property
    def _under_cursor(self) -> str:
        """The setting under the cursor."""
        return list(SETTABLE)[self.query_one(OptionList).highlighted or 0]

    def on_option_list_option_highlighted(self) -> None:
        """What it does."""
        setting, value = SETTABLE[self._under_cursor], self._value(self._under_cursor)
        lines = [f"{setting.help}.", f"{setting.type}: {setting.bounds}"]
        if isinstance(value, tuple):
            lines += [f"  {one_line(prompt, 70)}" for prompt in value]
        self.query_one("#because", Static).update(Content("\n").join(map(Content, lines)))
        complain(self)

    def on_option_list_option_selected(self) -> None:
        """Enter."""
        self.action_change()

    def action_change(self) -> None:
        """Ask for a value; prompts are added one by one."""
        name, setting = self._under_cursor, SETTABLE[self._under_cursor]
        value = self._value(name)
        if isinstance(value, tuple):
            self.app.push_screen(AskDialog("One more prompt to answer besides the fixed ones:"), self._add)
        else:
            question = f"{setting.title}: {setting.type}, {setting.bounds}"
            self.app.push_screen(AskDialog(question, "" if value is None else shown(name, value)), self._typed(name))

    def _typed(self, name: str) -> Callable[[str | None], None]:
        def take(text: str | None) -> None:
            if text is not None:
                self._ask(name, lambda: parse_setting(name, text))

        return take

    def _add(self, text: str | None) -> None:
        before: Any = self._asked.get(PROMPTS, self._value(PROMPTS))
        if text is not None:
            self._ask(PROMPTS, lambda: check_setting(PROMPTS, (*before, text)))

    def action_reset(self) -> None:
        """Back to the plan."""
        name = self._under_cursor
        self._ask(name, lambda: check_setting(name, planned(name, self._config)))

    def _ask(self, name: str, checked: Callable[[], Setting]) -> None:
        try:
            value = checked()
        except UserError as error:
            complain(self, str(error))
            return
        if not self._tell(Request(action="set", name=name, value=value)):
            complain(
                self, "The worker is not there to hear it: the run is over, or its control file cannot be written."
            )
            return
        complain(self)
        if value != self._value(name):
            self._asked[name] = value
        self._fill()

    def action_close(self) -> None:
        """Back to the curves."""
        self.app.pop_screen()
