"""Step 1: what can this machine do?"""

import textwrap
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kto_tui import units
from kto_tui.backend_choice import backend_here
from kto_tui.draft import Draft, choose_hardware, starter_draft
from kto_tui.environment import PLANNED, backends
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware, detect
from kto_tui.hardware.facts import hardware_rows
from kto_tui.hardware.presets import hardware_presets, load_hardware
from kto_tui.runs.folder import died_runs, without_a_word
from kto_tui.tui.messages import Left, RunsRequested, StepRequested
from kto_tui.tui.screens.dialogs import ChooseDialog
from kto_tui.tui.wizard import WizardScreen

THIS = "this"  # the answer that is no preset


def advice(hardware: Hardware) -> str:
    """What the machine's memory means for the choice of a model, in words."""
    gpu, free = hardware.training_gpu, hardware.free_training_bytes
    place = "graphics memory" if gpu is not None and not gpu.unified else "memory"
    if free is None:
        return f"How much {place} is free is unknown; start with a small model."
    # NF4 weights take about 0.56 byte per parameter plus what stays in 16 bit; two thirds of the memory for weights.
    precision = "bf16" if backend_here(hardware).name == "mlx" else hardware.precision
    per_parameter = 0.7 if hardware.device == "cuda" else 4.4 if precision == "fp32" else 2.2
    largest = 0.66 * free / per_parameter
    how = "4-bit weights" if hardware.device == "cuda" else f"{precision} weights"
    speed = (
        " A processor trains small models only: minutes for 0.1 B, days for 7 B." if hardware.device == "cpu" else ""
    )
    return f"{units.size(free)} of {place} free: {how} of up to about {units.parameters(largest)} parameters.{speed}"


class HardwareScreen(WizardScreen):
    """Detects the machine, says what trains on it and what fits."""

    STEP = "Hardware"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", tooltip="Choose a model"),
        Binding("t", "starter", "Try the starter", tooltip="Review the starter run: small model, shipped data"),
        Binding(
            "a", "another", "Another machine", tooltip="Plan for a machine you do not sit at, or for this one again"
        ),
        Binding("r", "runs", "Runs", tooltip="See all runs and attach to one"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, draft: Draft | None = None, *, then_review: bool = False) -> None:
        super().__init__(draft)
        self._then_review = then_review
        self._died = ""

    @property
    def heading(self) -> str:
        """The machine planned for, or this one and whether it is far away."""
        if self.draft is None:
            return "looking at this machine"
        hardware = self.draft.hardware
        if hardware.planned_as is not None:
            return f"for {hardware.planned_as}"
        return f"{hardware.host}{' over SSH' if hardware.over_ssh else ''}"

    def compose_body(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(classes="body"):
            yield Static("Looking at this machine ...", id="facts")

    def on_mount(self) -> None:
        """Sensors may be slow, so they are asked beside the first paint."""
        if self.draft is None:
            self.look()
        else:
            self.show_hardware(self.draft.hardware)

    @work(thread=True)
    def look(self) -> None:
        """Ask the sensors, and whether a run waits for a person."""
        died = died_runs()
        self._died = without_a_word(died) if died else ""
        self.app.call_from_thread(self.show_hardware, detect())

    def show_hardware(self, hardware: Hardware) -> None:
        """Write the facts; go on to Review when that was asked for."""
        if self.gone:
            return
        if self.draft is None:
            self.draft = Draft(hardware=hardware)
        elif hardware is not self.draft.hardware:
            self.draft = choose_hardware(self.draft, hardware)
        self.redraw_rail()
        self._write(hardware)
        if self._then_review:
            self._then_review = False
            self.action_starter()

    def on_resize(self) -> None:
        """Long facts are wrapped by hand, below where they began."""
        super().on_resize()
        if self.draft is not None:
            self._write(self.draft.hardware)

    def _write(self, hardware: Hardware) -> None:
        planned = hardware.planned_as is not None
        parts = [Content.styled(f"Planned machine: {hardware.host}" if planned else "This machine", "bold")]
        for name, fact in [*hardware_rows(hardware), *(("Note", note) for note in hardware.notes)]:
            first, *rest = textwrap.wrap(fact, max(40, self.app.size.width - 12), break_on_hyphens=False) or [""]
            parts += [Content(f"  {name:6} {first}"), *(Content(f"{'':9}{line}") for line in rest)]
        parts += [Content(""), Content.styled("Would train with" if planned else "Trains with", "bold")]
        ready = backends(hardware.accelerator, planned=planned)
        if planned:  # what is installed here says nothing about that machine
            ready = [(ready[0][0], "")]
        for index, (name, state) in enumerate(ready):
            parts.append(Content(f"  {'>' if index == 0 else ' '} {name:28} {state}"))
        parts += [
            Content.styled(f"    {PLANNED}", "dim"),
            Content(""),
            Content.assemble(("Because  ", "bold"), advice(hardware)),
            Content.assemble(
                ("Starter  ", "bold"), "A 135 M model and 496 rows come with kto-tui: see it work in minutes."
            ),
        ]
        if self._died:
            parts.append(Content.assemble(("Runs     ", "bold"), f"{self._died}."))
        self.query_one("#facts", Static).update(Content("\n").join(parts))

    def action_next(self) -> None:
        """On to the model."""
        if self.draft is None:
            return
        self.post_message(StepRequested("Model", self.draft))

    def action_starter(self) -> None:
        """Straight to Review with the starter run."""
        if self.draft is None:
            return
        try:
            draft = starter_draft(self.draft.hardware)
        except UserError as error:
            self.complain(str(error))
            return
        self.post_message(StepRequested("Review", draft))

    def action_another(self) -> None:
        """Choose the machine to plan for."""
        if self.draft is None:
            return
        try:
            machines = {name: f"{name:18} {preset.title}" for name, preset in hardware_presets().items()}
        except UserError as error:
            self.complain(str(error))
            return
        options = {THIS: "this machine", **machines}
        current = self.draft.hardware.planned_as or THIS
        self.app.push_screen(ChooseDialog("Plan for which machine?", options, current), self._take_machine)

    def _take_machine(self, name: str | None) -> None:
        if name is None:
            return
        self.complain()
        if name == THIS:
            self.look()
        else:
            self.show_hardware(load_hardware(name))

    def action_runs(self) -> None:
        """All runs."""
        self.post_message(RunsRequested())

    def action_quit(self) -> None:
        """Leave."""
        self.post_message(Left())
