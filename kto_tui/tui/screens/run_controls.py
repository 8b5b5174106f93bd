"""The part of the live screen that touches the run: pause, stop, abort, go on, mark, change settings."""

from typing import ClassVar, Literal

from textual import work
from textual.binding import Binding, BindingType
from textual.screen import Screen

from kto_tui.errors import UserError
from kto_tui.runs.config import RunConfig, load_config
from kto_tui.runs.control import Request
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import ask, resume, tell
from kto_tui.runs.state import OVER, RESUMABLE, RunState, Status
from kto_tui.tui.screens.dialogs import AskDialog, ConfirmDialog
from kto_tui.tui.screens.live_settings import LiveSettingsScreen

ABORT = "abort"
# What each ending does, asked before it is done, and the word for yes.
ENDINGS: dict[Literal["pause", "stop"], tuple[str, str]] = {
    "pause": ("Pause {} after its current step? A checkpoint is saved and the device is free until u.", "Pause"),
    "stop": ("Stop {} after its current step? The adapter is saved as it is then.", "Stop and save"),
}


class RunControls(Screen[None]):
    """Asks before it does anything; every key that cannot do its work now says why.

    Args:
        run: the run.
        read_only: none of the keys is there.
    """

    CONTROLS: ClassVar[list[BindingType]] = [
        Binding("p", "pause", "Pause", tooltip="Save a checkpoint and free the device; u goes on from there"),
        Binding("s", "stop", "Stop", tooltip="Save the adapter as it is and end the training"),
        Binding("u", "resume", "Resume", tooltip="Go on with a run that was paused or stopped, has failed or died"),
        Binding("c", "settings", "Settings", tooltip="What can be changed while it trains"),
        Binding("k", "mark", "Mark", tooltip="Write a remark into the run, at its current step"),
        Binding("a", "abort", "Abort", tooltip="End the training at once and save nothing"),
    ]
    ACTIONS = frozenset({"pause", "stop", "resume", "settings", "mark", "abort"})

    def __init__(self, run: RunFolder, *, read_only: bool = False) -> None:
        super().__init__()
        self.run = run
        self.state = RunState()
        self._read_only = read_only
        self._word: Status = "starting"
        self._resuming = False
        try:
            self._config: RunConfig | None = load_config(run.config)
        except UserError:
            self._config = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Who only watches has none of these keys."""
        if self._read_only and action in self.ACTIONS:
            return False
        return super().check_action(action, parameters)

    def _impossible(self) -> bool:
        """Say so when there is no worker to hear a request."""
        if self._word in OVER:
            more = " u goes on with it." if self._word in RESUMABLE else ""
            self.notify(f"Nobody is there to do that: the run is {self._word}.{more}")
        return self._word in OVER

    def action_pause(self) -> None:
        """Ask, then ask the worker."""
        self._confirm("pause")

    def action_stop(self) -> None:
        """Ask, then ask the worker."""
        self._confirm("stop")

    def _confirm(self, ending: Literal["pause", "stop"]) -> None:
        def answered(sure: bool | None) -> None:
            if sure and not self._impossible():
                self._heard(ask(self.run, ending))

        if not self._impossible():
            question, yes = ENDINGS[ending]
            self.app.push_screen(ConfirmDialog(question.format(self.run.id), yes), answered)

    def action_abort(self) -> None:
        """Nothing is saved, so a key is not enough."""

        def answered(word: str | None) -> None:
            if word == ABORT:
                if not self._impossible():
                    self._heard(ask(self.run, "abort"))
            elif word is not None:
                self.notify(f"Not aborted: {word!r} is not the word {ABORT}.")

        if not self._impossible():
            kept = " The checkpoints stay." if self.state.checkpoints else ""
            question = f"End {self.run.id} at once and save nothing of its last steps?{kept} Type {ABORT}:"
            self.app.push_screen(AskDialog(question), answered)

    def action_mark(self) -> None:
        """A remark at the current step."""

        def answered(text: str | None) -> None:
            if text is not None and not self._impossible():
                self._heard(tell(self.run, Request(action="mark", text=text)))

        if not self._impossible():
            self.app.push_screen(AskDialog(f"Remark at step {self.state.step}:"), answered)

    def action_settings(self) -> None:
        """What can be changed on the fly."""
        if self._impossible():
            return
        if self._config is None:
            self.notify(f"{self.run.config} cannot be read, so nothing can be changed.")
            return
        self.app.push_screen(LiveSettingsScreen(self._config, self.state, lambda asked: tell(self.run, asked)))

    def _heard(self, heard: bool) -> None:
        if not heard:
            self.notify("The worker is not there to hear it.", severity="warning")

    def action_resume(self) -> None:
        """Go on after the newest checkpoint."""
        if self._word not in RESUMABLE:
            self.notify(f"There is nothing to go on with: the run is {self._word}.")
        elif not self._resuming:
            self._resuming = True
            self.notify(f"Starting {self.run.id} again ...")
            self.go_on()

    @work(thread=True)
    def go_on(self) -> None:
        """A supervisor takes a moment to come up."""
        problem = ""
        try:
            resume(self.run)
        except UserError as error:
            problem = str(error)
        self.app.call_from_thread(self._went_on, problem)

    def _went_on(self, problem: str) -> None:
        self._resuming = False
        if problem:
            self.notify(problem, severity="error", timeout=15)
