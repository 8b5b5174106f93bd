"""What can be done to the run under the cursor of a list: name it, go on, delete it, make files of it."""

from collections.abc import Callable
from pathlib import Path

from textual import work
from textual.screen import Screen

from kto_tui import units
from kto_tui.errors import UserError
from kto_tui.paths import with_tilde
from kto_tui.runs.about import About, change_about, read_about, split_tags
from kto_tui.runs.compare import run_picture
from kto_tui.runs.export import write_csv, write_new
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import delete, resume
from kto_tui.runs.overview import RunSummary
from kto_tui.runs.page import write_page
from kto_tui.runs.reading import Reading
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.wizard import complain

SURE = "delete"


class RunActions(Screen[None]):
    """The actions; a subclass binds them to keys, shows the list, and has ``#problem`` to say what went wrong."""

    def __init__(self, *, read_only: bool) -> None:
        super().__init__()
        self._read_only = read_only

    @property
    def current(self) -> RunSummary | None:
        """The run they are about."""
        raise NotImplementedError

    def refresh_runs(self) -> object:
        """Look again, after a change."""
        raise NotImplementedError

    def _writable(self) -> RunFolder | None:
        """The run under the cursor, where something of it may be changed."""
        if self._read_only:
            complain(self, "Nothing can be changed here: this is a read-only look.")
            return None
        complain(self)
        return None if self.current is None else RunFolder(Path(self.current.path))

    def _ask(self, question: Callable[[str], str], value: Callable[[About], str], take: Callable[..., object]) -> None:
        """Ask for a line of text about the run under the cursor and ``take`` it; what was there is in the line."""
        run = self._writable()
        if run is None:
            return
        try:
            about = read_about(run.about)
        except UserError as error:
            complain(self, str(error))
            return

        def answered(text: str | None) -> None:
            if text is not None:
                self._try(lambda: take(run.about, text))

        self.app.push_screen(AskDialog(question(run.id), value(about), empty=True), answered)

    def _try(self, do: Callable[[], object]) -> bool:
        """``do`` it, say what went wrong, and look again."""
        try:
            do()
        except UserError as error:
            complain(self, str(error))
            return False
        self.refresh_runs()
        return True

    def action_rename(self) -> None:
        """Ask for a title."""
        self._ask(
            lambda run: f"Title of {run}; empty: none",
            lambda about: about.title,
            lambda path, text: change_about(path, title=text),
        )

    def action_tags(self) -> None:
        """Ask for tags."""
        self._ask(
            lambda run: f"Tags of {run}, with spaces between; empty: none",
            lambda about: " ".join(about.tags),
            lambda path, text: change_about(path, tags=split_tags(text)),
        )

    def action_note(self) -> None:
        """Ask for a note."""
        self._ask(
            lambda run: f"Note on {run}; empty: none",
            lambda about: " ".join(about.note.splitlines()),
            lambda path, text: change_about(path, note=text),
        )

    def action_resume(self) -> None:
        """Go on with the run under the cursor."""
        run = self._writable()
        if run is not None and self._try(lambda: resume(run)):
            self.notify(f"{run.id} goes on; enter opens it.")

    def action_delete(self) -> None:
        """Ask for a word first: nothing brings a run back."""
        run, one = self._writable(), self.current
        if run is None or one is None:
            return
        question = f"Delete {run.id} with its checkpoints and its adapter ({units.size(one.size_bytes)})?"

        def answered(text: str | None) -> None:
            if text == SURE:
                self._try(lambda: delete(run))
            elif text is not None:
                complain(self, f"{run.id} is kept: the word is {SURE}.")

        self.app.push_screen(AskDialog(f"{question}\nNothing brings it back. Type {SURE} to do it."), answered)

    def action_export(self) -> None:
        """Steps as CSV and curves as SVG, in the run's folder."""
        if (run := self._writable()) is not None:
            self._export(run)

    @work(thread=True, group="export")
    def _export(self, run: RunFolder) -> None:
        def write() -> str:
            reading = Reading(run)
            reading.read()
            svg = run_picture(reading).encode()
            steps, picture = run.path / "steps.csv", run.path / "curves.svg"
            write_new(steps, lambda file: write_csv(run, file), force=True)
            write_new(picture, lambda file: file.writelines([svg]), force=True)
            return f"{steps} and {picture.name}"

        self._write(write)

    def action_report(self) -> None:
        """One page, in the run's folder."""
        if (run := self._writable()) is not None:
            self._report(run)

    @work(thread=True, group="export")
    def _report(self, run: RunFolder) -> None:
        self._write(lambda: str(write_page(run, run.path / "report.md", force=True)[0]))

    def _write(self, write: Callable[[], str]) -> None:
        """In a thread: write files and say where they are, or what went wrong."""
        try:
            told, severe = f"Written to {with_tilde(write())}", False
        except UserError as error:
            told, severe = str(error), True
        self.app.call_from_thread(self._tell, told, severe=severe)

    def _tell(self, text: str, *, severe: bool) -> None:
        if self.is_mounted:
            self.notify(text, severity="error" if severe else "information", markup=False, timeout=10)
