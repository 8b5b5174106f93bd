"""Getting a model before training: progress, cancel, and what to do when the hub refuses; and the way to log in."""

from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from kto_tui.catalog import ModelSpec
from kto_tui.hub import sentences
from kto_tui.hub.download import Download, must_fetch
from kto_tui.hub.request import Request
from kto_tui.hub.settings import endpoint, token_known
from kto_tui.hub.updates import Done, Failed, Progressed, Update
from kto_tui.tui.screens.dialogs import ConfirmDialog

BAR_WIDTH = 48


def bar(share: float) -> str:
    """A share of one, drawn and in figures."""
    filled = int(BAR_WIDTH * share)
    return f"[{'#' * filled}{'·' * (BAR_WIDTH - filled)}] {share:4.0%}"


class DownloadDialog(ModalScreen[Done | Failed | str]):
    """Downloads what is asked. Closes with ``Done``, with its new name to take, or with why it is not here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("r", "retry", "Try again"),
        Binding("enter", "follow", "Take the new name"),
    ]

    def __init__(self, asked: Request) -> None:
        super().__init__()
        self._asked = asked
        self._download: Download | None = None
        self._failed: Failed | None = None
        self._outcome: list[Done | Failed | str] = []

    class Told(Message):
        """The program said something."""

        def __init__(self, update: Update) -> None:
            super().__init__()
            self.update = update

    def compose(self) -> ComposeResult:
        """What, how far, keys."""
        with Vertical(id="dialog"):
            yield Static(Content.assemble(("Download ", "bold"), (self._asked.id, "bold"), f"\nfrom {endpoint()}\n"))
            yield Static(id="progress")
            yield Static(id="answers")

    def on_mount(self) -> None:
        """Begin."""
        self.action_retry(first=True)

    def on_unmount(self) -> None:
        """Nothing goes on unseen, however the application ends."""
        if self._download is not None:
            self._download.cancel()

    @work(thread=True)
    def listen(self, download: Download) -> None:
        """Hand on what the program says, until it ends."""
        with download:
            for update in download:
                self.post_message(self.Told(update))

    def on_download_dialog_told(self, message: Told) -> None:
        """Draw an update; the last one ends the dialog or says what to do."""
        match update := message.update:
            case Done() | Failed(kind="interrupted"):
                self._leave_with(update)
            case Failed(choices=choices) if choices:
                self._leave_with(update)
            case Failed():
                self._failed = update
                self._write(*_advice(update, self._asked))
            case Progressed():
                self._write(f"{bar(update.share)}\n{sentences.progress_line(update)}\n{update.file}", CANCEL)
            case _:
                self._write(sentences.line(update) or "", CANCEL)

    def _leave_with(self, outcome: Done | Failed | str) -> None:
        self._outcome.append(outcome)
        if self.is_active:
            self.dismiss(outcome)

    def on_screen_resume(self) -> None:
        """What came to its end under another dialog closes now."""
        if self._outcome:
            self.dismiss(self._outcome[-1])

    def _write(self, text: str, answers: Content) -> None:
        self.query_one("#progress", Static).update(Content(text))
        self.query_one("#answers", Static).update(Content("\n") + answers)

    def action_leave(self) -> None:
        """Ask once whether to cancel; a download that failed is just left."""
        if self._failed is not None:
            self._leave_with(self._failed)
            return
        question = "Cancel the download?\nWhat has arrived is kept, and the next download goes on from there."
        self.app.push_screen(ConfirmDialog(question, "Cancel it"), self._answered)

    def _answered(self, yes: bool | None) -> None:
        if yes and self._download is not None:
            self._download.cancel()

    def action_retry(self, *, first: bool = False) -> None:
        """Begin, or begin again after a failure."""
        if first or self._failed is not None:
            self._failed = None
            self._write("Asking the hub ...", CANCEL)
            asked = self._asked
            self._download = Download(
                asked.id, asked.revision, asked.repo_type, asked.config, asked.split, asked.backend, asked.max_length
            )
            self.listen(self._download)

    def action_follow(self) -> None:
        """Go on with the model's new name."""
        if self._failed is not None and self._failed.renamed_to is not None:
            self._leave_with(self._failed.renamed_to)


class LoginDialog(ModalScreen[bool]):
    """How to log in and accept a licence. True: go on with the model."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "retry", "Try again"),
        Binding("enter", "answer(True)", "Choose it anyway"),
        Binding("escape", "answer(False)", "Another model"),
    ]

    def __init__(self, model_id: str) -> None:
        super().__init__()
        self._model_id = model_id

    def compose(self) -> ComposeResult:
        """Why, the steps, keys."""
        steps = Content("\n").join(Content(step) for step in sentences.login_steps(self._model_id))
        with Vertical(id="dialog"):
            yield Static(Content.assemble((sentences.gated(self._model_id).message, "bold"), ".\n"), id="progress")
            yield Static(steps)
            yield Static(Content("\n") + _keys(("r", "Try again"), ("enter", "Choose it anyway"), ("esc", "Back")))

    def action_retry(self) -> None:
        """Go on once there is a token; whether it is accepted the hub will say."""
        if token_known():
            self.dismiss(True)
        else:
            self.query_one("#progress", Static).update(Content(f"{sentences.NOT_LOGGED_IN}.\n"))

    def action_answer(self, answer: bool) -> None:
        """Close with the answer."""
        self.dismiss(answer)


def when_allowed(app: App[Any], model: ModelSpec, go_on: Callable[[], object]) -> None:
    """Call ``go_on``, after showing how to log in where a gated model would be refused anyway."""
    if not model.gated or token_known() or not must_fetch(model.id):
        go_on()
    else:

        def answered(yes: bool | None) -> None:
            if yes:
                go_on()

        app.push_screen(LoginDialog(model.id), answered)


def _keys(*pairs: tuple[str, str]) -> Content:
    return Content("   ").join(Content.assemble((key, "bold"), f" {word}") for key, word in pairs)


def _advice(failed: Failed, asked: Request) -> tuple[str, Content]:
    """What went wrong, how to mend it, and the keys that lead on."""
    lines = [f"{failed.message}.", ""]
    lines += sentences.login_steps(asked.id, asked.repo_type) if failed.kind == "gated" else [f"{failed.mend}."]
    follow = [("enter", f"Take {failed.renamed_to}")] if failed.renamed_to is not None else []
    return "\n".join(lines), _keys(*follow, ("r", "Try again"), ("esc", "Back"))


CANCEL = _keys(("esc", "Cancel"))
