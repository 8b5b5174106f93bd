"""Step 2: which model, and does it fit?"""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable, Static

from kto_tui import units
from kto_tui.catalog import ModelSpec, load_catalog, resolve
from kto_tui.draft import Draft, choose_model
from kto_tui.errors import UserError
from kto_tui.memory.estimate import Estimate
from kto_tui.planner import Plan, propose
from kto_tui.starter import MODEL_ID
from kto_tui.tui.messages import StepRequested
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.download import when_allowed
from kto_tui.tui.wizard import WizardScreen


def proposed_model(plans: dict[str, Plan], device: str) -> str:
    """The model we would start with: the starter on a processor, else the largest that fits, up to 8 B."""
    if device == "cpu":
        return MODEL_ID
    sized = [(model.parameters or 0, model.id) for model in load_catalog() if not model.gated]
    fitting = [(size, name) for size, name in sized if plans[name].verdict == "FITS" and size <= 8.5e9]
    return max(fitting)[1] if fitting else MODEL_ID


def parts_bar(predicted: Estimate, free: int | None, width: int = 32) -> str:
    """Predicted parts of the memory as a bar, one letter per part, on the scale of what is free."""
    scale = max(free or 0, predicted.total)
    bar = ""
    for letter, part in zip("WAXHB", _parts(predicted), strict=True):
        bar += letter * round(width * part[1] / scale)
    return bar[:width].ljust(width, "·")


def _parts(predicted: Estimate) -> list[tuple[str, float]]:
    return [
        ("W weights", predicted.weights),
        ("A adapter", predicted.adapter),
        ("X activ.", predicted.activations),
        ("H head", predicted.head),
        ("B base", predicted.base),
    ]


class ModelScreen(WizardScreen):
    """The catalog with a verdict for this machine, and a way to any other model."""

    STEP = "Model"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Choose", tooltip="Choose the model under the cursor"),
        Binding(
            "e",
            "other",
            "Other folder or hub id",
            tooltip="A local checkpoint folder or a name like org/model",
        ),
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        self._models: dict[str, ModelSpec] = {model.id: model for model in load_catalog()}
        if draft.model is not None:
            self._models.setdefault(draft.model.id, draft.model)
        self._plans: dict[str, Plan] = {}

    @property
    def heading(self) -> str:
        """What the verdicts are measured against."""
        return f"{units.size(self._draft.hardware.free_training_bytes)} free"

    def compose_body(self) -> ComposeResult:
        """Table above, details of the model under the cursor below."""
        yield DataTable(cursor_type="row", zebra_stripes=False)
        yield Static(classes="detail", id="detail")

    def on_mount(self) -> None:
        """Fill the table and put the cursor on the proposal."""
        table = self.query_one(DataTable)
        for label, width in (("Model", 38), ("Size", 7), ("Needs", 9), ("of free", 7), ("Verdict", 8)):
            table.add_column(label, width=width, key=label)
        for model in self._models.values():
            self._add(model)
        chosen = self._draft.model.id if self._draft.model else proposed_model(self._plans, self._draft.hardware.device)
        table.move_cursor(row=table.get_row_index(chosen))
        table.focus()

    def _add(self, model: ModelSpec) -> None:
        plan = propose(model, self._draft.hardware, rows=self._draft.rows)
        self._plans[model.id] = plan
        free = self._draft.hardware.free_training_bytes
        needed = None if plan.predicted is None else plan.predicted.total
        self.query_one(DataTable).add_row(
            Content(model.title or model.id),
            units.parameters(model.parameters).rjust(7),
            units.size(needed).rjust(9),
            (units.percent(needed / free) if needed and free else "–").rjust(7),  # noqa: RUF001
            plan.verdict,
            key=model.id,
        )

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Details follow the cursor."""
        if event.row_key.value is not None:
            self._describe(event.row_key.value)

    def _describe(self, model_id: str) -> None:
        model, plan = self._models[model_id], self._plans[model_id]
        facts = [model.id, model.licence or "licence unknown", f"context {units.count(model.context)}"]
        if model.gated:
            facts.append("gated: accept its licence on the hub first")
        lines = [Content(" · ".join(facts))]
        if plan.predicted is not None:
            parts = "  ".join(f"{name} {part / units.GIB:.1f}" for name, part in _parts(plan.predicted)) + " GiB"
            lines += [
                Content.assemble((plan.verdict, "bold"), f"  {plan.verdict_because}"),
                Content(
                    f"{parts_bar(plan.predicted, self._draft.hardware.free_training_bytes)}  {plan.predicted.quality}"
                ),
                Content(parts),
            ]
        else:
            lines.append(Content.assemble((plan.verdict, "bold"), f"  {plan.verdict_because}"))
        recipe = plan.recipe
        weights = "4-bit NF4" if recipe.quantization == "nf4" else recipe.precision
        settings = (
            f"{weights}, {recipe.micro_batch} rows at a time of {recipe.effective_batch}, {recipe.max_length} tokens"
        )
        lines.append(Content(f"With {settings}{', checkpointing' if recipe.gradient_checkpointing else ''}"))
        lines.append(Content(f"For  {model.note}" if model.note else ""))
        self.query_one("#detail", Static).update(Content("\n").join(lines))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter chooses."""
        if event.row_key.value is not None:
            self._choose(self._models[event.row_key.value])

    def action_next(self) -> None:
        """Choose the model under the cursor."""
        self.query_one(DataTable).action_select_cursor()

    def action_back(self) -> None:
        """Back to the machine."""
        self.post_message(StepRequested("Hardware", self._draft))

    def action_other(self) -> None:
        """Ask for a folder or hub id."""
        self.app.push_screen(AskDialog("Local model folder, or hub id like org/model"), self._take_other)

    def _take_other(self, text: str | None) -> None:
        if text is None:
            return
        try:
            model = resolve(text)
        except UserError as error:
            self.complain(str(error))
            return
        self.complain()
        self._models[model.id] = model
        table = self.query_one(DataTable)
        if model.id not in self._plans:
            self._add(model)
        table.move_cursor(row=table.get_row_index(model.id))
        self._describe(model.id)

    def _choose(self, model: ModelSpec) -> None:
        chosen = StepRequested("Data", choose_model(self._draft, model))
        when_allowed(self.app, model, lambda: self.post_message(chosen))
