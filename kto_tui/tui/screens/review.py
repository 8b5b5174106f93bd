"""Step 5: everything once more, exactly as it will be saved."""

from pathlib import Path
from typing import ClassVar

import msgspec
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kto_tui import units
from kto_tui.atomic import write_atomically
from kto_tui.catalog import resolve
from kto_tui.catalog.mlx import model_refusal
from kto_tui.data.sources import STARTER
from kto_tui.draft import Draft, check_trainable, plan, to_config
from kto_tui.errors import UserError
from kto_tui.hub.download import must_fetch
from kto_tui.hub.request import Request
from kto_tui.hub.updates import Done, Failed
from kto_tui.planner import Plan
from kto_tui.runs.config import RunConfig, to_toml
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.launch import start
from kto_tui.speed import UNMEASURED, effort
from kto_tui.tui.messages import Left, RunOpened, StepRequested
from kto_tui.tui.screens.dialogs import ConfirmDialog
from kto_tui.tui.screens.download import DownloadDialog
from kto_tui.tui.wizard import WizardScreen

RUN_FILE = "run.toml"


def run_sentence(config: RunConfig, proposal: Plan, used: int) -> str:
    """What Enter will do, in words."""
    recipe = config.recipe
    steps = recipe.steps or max(1, round(-(-used // recipe.effective_batch) * recipe.epochs))
    return (
        f"Train {config.model} with {recipe.method.upper()} on {units.count(used)} rows: "
        f"about {units.count(steps)} steps of {recipe.effective_batch} rows. "
        f"{proposal.verdict}: {proposal.verdict_because}."
    )


def effort_sentence(draft: Draft) -> str:
    """Time and energy of the run, and where they are known from."""
    found = None
    if draft.model is not None:
        rows = draft.training_rows or 0
        proposal = plan(draft)
        found = effort(draft.model, proposal.recipe, draft.hardware, rows, draft.mean_tokens, proposal.backend_name)
    if found is None:
        return f"Time and energy: {UNMEASURED}."
    energy = "" if found.watt_hours is not None else " Energy: nothing here measures it."
    return f"Training takes {found}; evaluation and answers come on top.{energy}"


class ReviewScreen(WizardScreen):
    """The run file as it will be saved; Enter trains."""

    STEP = "Review"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "train", "Train", tooltip="Start training; it goes on when you leave"),
        Binding("t", "trial", "Trial run on/off", tooltip="Train on the first 200 mixed rows only"),
        Binding("w", "save", "Save run.toml", tooltip="Write the run file into the current folder"),
        Binding("escape", "back", "Back", tooltip="Back to the recipe"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        self._starting = False

    @property
    def heading(self) -> str:
        """The machine planned for, or whether Enter starts a trial."""
        if self._draft.hardware.planned_as is not None:
            return f"for {self._draft.hardware.planned_as}"
        return "trial run: 200 rows" if self._draft.trial else "enter trains"

    def compose_body(self) -> ComposeResult:
        """A sentence and the file."""
        yield Static(id="sentence", classes="detail")
        with VerticalScroll(classes="fill"):
            yield Static(id="toml")

    def on_mount(self) -> None:
        """Write the file."""
        self._show()
        self.query_one(VerticalScroll).focus()

    def _show(self) -> None:
        config = to_config(self._draft)
        self.redraw_rail()
        sentence = run_sentence(config, plan(self._draft), self._draft.training_rows or 0)
        if self._draft.unused:
            sentence += f" {self._draft.unused}."
        if must_fetch(config.model):
            sentence += " The model is downloaded first."
        self.query_one("#sentence", Static).update(Content(f"{sentence}\n{effort_sentence(self._draft)}"))
        self.query_one("#toml", Static).update(Content(to_toml(config)))

    def action_trial(self) -> None:
        """Trial run on or off."""
        if self._starting:
            return
        self._draft = msgspec.structs.replace(self._draft, trial=not self._draft.trial)
        self._show()

    def action_train(self) -> None:
        """Start, once, never for a machine that is only planned; a model that is not here is downloaded first."""
        hardware = self._draft.hardware
        if hardware.planned_as is not None:
            self.complain(
                f"This is a plan for {hardware.host}, so nothing starts here. "
                f"Press w to save {RUN_FILE}, then run there: kto-tui train {RUN_FILE}"
            )
            return
        if self._starting:
            return
        model = self._draft.model
        if model is not None and must_fetch(model.id):
            backend, max_length = self._draft.backend.name, plan(self._draft).recipe.max_length
            if (refusal := model_refusal(model, backend, max_length=max_length)) is not None:
                self.complain(str(refusal))
                return
            asked = Request(id=model.id, backend=backend, max_length=max_length)
            self.app.push_screen(DownloadDialog(asked), self.model_arrived)
            return
        self._starting = True
        self.query_one("#sentence", Static).update(Content("Starting the worker ..."))
        self.launch()

    def model_arrived(self, outcome: Done | Failed | str | None) -> None:
        """Train, take the model's new name, or say that the download was given up."""
        if isinstance(outcome, Failed):
            self.complain(f"{outcome.message}. {outcome.mend}.")
        if outcome is None or isinstance(outcome, Failed) or self._draft.model is None:
            return
        self.complain()
        before, name = plan(self._draft).verdict, outcome if isinstance(outcome, str) else self._draft.model.id
        try:
            # Of a model that is here more is known, perhaps that it cannot be trained.
            self._draft = msgspec.structs.replace(self._draft, model=resolve(name))
        except UserError as error:
            self.complain(str(error))
            return
        self._show()
        if isinstance(outcome, Done) and (plan(self._draft).verdict != "NO" or before == "NO"):
            self.action_train()

    @work(thread=True)
    def launch(self) -> None:
        """The worker says who it is within a second or so."""
        try:
            check_trainable(self._draft)
            result: RunFolder | UserError = start(to_config(self._draft))
        except UserError as error:
            result = error
        self.app.call_from_thread(self.go_live, result)

    def go_live(self, result: RunFolder | UserError) -> None:
        """Open the live screen, or say why nothing started."""
        if isinstance(result, UserError):
            self._starting = False
            self._show()
            self.complain(str(result))
            return
        self.post_message(RunOpened(result))

    def action_save(self) -> None:
        """Write the run file, after asking when there is one."""
        if Path(RUN_FILE).exists():
            question = f"{RUN_FILE} exists in this folder already. Replace it?"
            self.app.push_screen(ConfirmDialog(question, "Replace"), lambda yes: self._save() if yes else None)
        else:
            self._save()

    def _save(self) -> None:
        try:
            file = Path.cwd() / RUN_FILE
            write_atomically(file, to_toml(to_config(self._draft)).encode())
        except OSError as error:
            self.complain(f"{RUN_FILE} cannot be written here ({error.strerror or error}). Start kto-tui elsewhere.")
            return
        self.complain()
        command = f"kto-tui train {RUN_FILE}"
        if self._draft.hardware.planned_as is not None:
            moved = "" if self._draft.data == STARTER else " once its data line names the file's place there"
            command = f"{command} on that machine{moved}"
        saved = f"Saved as {file}. To train it, run {command}."
        self.query_one("#sentence", Static).update(Content(saved))

    def action_back(self) -> None:
        """Back to the recipe; not while a run is being started, which would go on unseen."""
        if self._starting:
            return
        self.post_message(StepRequested("Recipe", self._draft))

    def action_quit(self) -> None:
        """Leave without training."""
        if self._starting:
            return
        self.post_message(Left())
