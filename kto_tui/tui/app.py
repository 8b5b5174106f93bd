"""The application: one screen at a time, one draft handed along.

Screens are imported when they are first shown: whoever comes back to a run over a slow line waits for that one only.
"""

import asyncio
import importlib
import os
import shutil
import signal
import sys
from typing import Any, ClassVar, cast

from rich.console import RenderableType
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer

from kto_tui.errors import UserError
from kto_tui.hardware import Hardware
from kto_tui.hardware.presets import load_hardware
from kto_tui.large_imports import uncollected
from kto_tui.plain import ascii_only
from kto_tui.runs.folder import RunFolder, find_run
from kto_tui.tui.ascii import with_ascii
from kto_tui.tui.messages import Left, LogRequested, ResultsRequested, RunOpened, StepRequested
from kto_tui.tui.repaint import Shown
from kto_tui.tui.screens.dialogs import HelpDialog
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.screens.small import TooSmallScreen

MIN_COLUMNS, MIN_ROWS = 80, 24
SIZE_CHECK_SECONDS = 0.2  # after the last change


class KtoApp(App[int]):
    """kto-tui in the terminal.

    Args:
        at_review: open at Review with the starter run filled in.
        run: open this run's live screen.
        read_only: watch only; nothing in the application can touch a run.
        planned: plan for this machine instead of the one at hand.
        plain: 7-bit characters only; None asks the environment.
    """

    CSS_PATH = "kto.tcss"
    TITLE = "kto-tui"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [("question_mark", "help", "Help"), Binding("ctrl+l", "redraw", show=False)]

    def __init__(
        self,
        *,
        at_review: bool = False,
        run: RunFolder | None = None,
        read_only: bool = False,
        planned: Hardware | None = None,
        plain: bool | None = None,
    ) -> None:
        self.plain = ascii_only() if plain is None else plain
        # Said here, before the theme is known: NO_COLOR would else draw black on black.
        super().__init__(ansi_color=True)
        self._at_review = at_review
        self._run_folder = run
        self._read_only = read_only
        self._planned = planned
        self.farewell: str | None = None
        self._shown = Shown()
        self._told_size: Size | None = None
        self._size_check: Timer | None = None

    @property
    def size(self) -> Size:
        """Never less than the screens are made for: those that ``TooSmallScreen`` hides are still laid out."""
        width, height = super().size
        return Size(max(width, MIN_COLUMNS), max(height, MIN_ROWS))

    @property
    def _background_screens(self) -> list[Screen[Any]]:
        """What is seen behind the screen on top; Textual draws and lays out the one below whatever hides it."""
        return super()._background_screens if self.screen.is_modal else []

    def get_line_filters(self) -> list[LineFilter]:
        """Textual's own filters (NO_COLOR), then 7-bit characters where wanted."""
        return with_ascii(super().get_line_filters(), wanted=self.plain)

    def on_mount(self) -> None:
        """Open the first screen; a ``kill`` from now on leaves the terminal as it was."""
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, 128 + signal.SIGTERM)
        self.theme = "ansi-dark"
        self.set_class(self.plain, "-ascii")
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())  # the shell wrote in between
        if self._run_folder is not None:
            self.push_screen(self._live(self._run_folder))
        else:
            from kto_tui.tui.screens.steps import first_step

            self.push_screen(first_step(self._planned, then_review=self._at_review))

    def on_step_requested(self, message: StepRequested) -> None:
        """The wizard moves on, or back."""
        from kto_tui.tui.screens.steps import WIZARD

        self.switch_screen(WIZARD[message.step](message.draft))

    def on_run_opened(self, message: RunOpened) -> None:
        """A run's live screen, in place of whatever was open."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(self._live(message.run))

    def _live(self, run: RunFolder) -> LiveScreen:
        return LiveScreen(run, plain=self.plain, read_only=self._read_only)

    def on_log_requested(self, message: LogRequested) -> None:
        """A run's log."""
        from kto_tui.tui.screens.log import LogScreen

        self.push_screen(LogScreen(message.run))

    def on_results_requested(self, message: ResultsRequested) -> None:
        """What a run achieved."""
        from kto_tui.tui.screens.results import ResultsScreen

        self.push_screen(ResultsScreen(message.run, message.state))

    def on_runs_requested(self) -> None:
        """All runs."""
        from kto_tui.tui.screens.runs import RunsScreen

        self.push_screen(RunsScreen(read_only=self._read_only))

    def on_left(self, message: Left) -> None:
        """Give the terminal back."""
        self.farewell = message.farewell
        self.exit(0)

    def on_resize(self, event: Resize) -> None:
        """Say so when the terminal is too small to work in, and go on when it no longer is."""
        if self._told_size not in {None, event.size}:  # the terminal has moved or cut what it showed
            self._shown.forget()
        self._told_size = event.size
        if self._size_check is not None:
            self._size_check.stop()
        self._size_check = self.set_timer(SIZE_CHECK_SECONDS, self._check_size)
        small = event.size.width < MIN_COLUMNS or event.size.height < MIN_ROWS
        shown = isinstance(self.screen, TooSmallScreen)
        if small and not shown:
            self.push_screen(TooSmallScreen())
        elif shown and not small:
            self.pop_screen()

    def _check_size(self) -> None:
        """Of two changes at once Textual may tell the first one last: SIGWINCH interrupts its own handler."""
        size = Size(*shutil.get_terminal_size(fallback=self._told_size or (MIN_COLUMNS, MIN_ROWS)))
        if not self.is_headless and size != self._told_size:
            self.post_message(Resize(size, size))

    def action_help(self) -> None:
        """The keys of the current screen."""
        if not isinstance(self.screen, HelpDialog):
            self.push_screen(HelpDialog(cast("Screen[None]", self.screen)))

    def action_redraw(self) -> None:
        """Write everything again, over what others may have written."""
        self._shown.forget()
        self.screen.refresh()

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Textual writes whole rows; a slow line gets the cells that differ."""
        if isinstance(renderable, LayoutUpdate | ChopsUpdate):
            renderable = cast("RenderableType", self._shown.differing(renderable))
        super()._display(screen, renderable)

    def _handle_exception(self, error: Exception) -> None:
        """Leave the terminal clean: a sentence and a file instead of a traceback over the screen."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        from kto_tui.crash import record

        self.farewell = record(error)
        self.exit(1)


def _run(app: KtoApp) -> int:
    if (term := os.environ.get("TERM")) in {"dumb", "unknown"}:
        raise UserError(
            "This terminal cannot draw a screen",
            mend="Set TERM to what it really is, or use kto-tui runs, kto-tui logs RUN -f and kto-tui train RUN.toml",
            where=f"TERM={term}",
        )
    # Without its terminal it has no purpose, whoever asked for hang-ups to be ignored; Textual would spin for ever.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    code = app.run()
    if app.farewell:
        print(app.farewell, file=sys.stderr if code else sys.stdout)
    return code or 0


def run_wizard(*, at_review: bool = False, planned_as: str | None = None) -> int:
    """Open the wizard, for the preset machine ``planned_as`` when that is given; returns the exit code."""
    planned = None if planned_as is None else load_hardware(planned_as)
    with uncollected():  # before the terminal is taken
        importlib.import_module("kto_tui.tui.screens.steps")
    return _run(KtoApp(at_review=at_review, planned=planned))


def run_live(run_id: str, *, read_only: bool = False) -> int:
    """Open a run's live screen, only to watch it when ``read_only``; returns the exit code."""
    return _run(KtoApp(run=find_run(run_id), read_only=read_only))
