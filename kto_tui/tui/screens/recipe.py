"""Step 4: how to train; a form drawn from the annotated recipe struct."""

import contextlib
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from kto_tui.draft import Draft, choose_preset, plan, require_rows
from kto_tui.errors import UserError
from kto_tui.planner import Plan, load_presets
from kto_tui.recipe import FIELDS, Field
from kto_tui.recipe_text import parse_value, show_value
from kto_tui.tui.messages import StepRequested
from kto_tui.tui.widgets.parts_bar import PartsBar
from kto_tui.tui.wizard import WizardScreen

NUMBER_STEPS = {"effective_batch", "micro_batch", "max_length", "lora_rank", "lora_alpha"}


class RecipeScreen(WizardScreen):
    """One line per field: label, value, why. The common ones first, the rest behind one key."""

    STEP = "Recipe"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", tooltip="On to the review"),
        Binding("e", "edit", "Edit", tooltip="Type a value for the field under the cursor; empty is automatic"),
        Binding("left", "change(-1)", "", show=False, tooltip="The choice before, or half of a size"),
        Binding("right", "change(1)", "Change", key_display="←→", tooltip="The next choice, or twice a size"),
        Binding("a", "automatic", "Auto", tooltip="Back to the automatic value"),
        Binding("r", "preset", "Recipe", tooltip="The next named recipe"),
        Binding("m", "more", "More", tooltip="Show or hide the less common fields"),
        Binding("escape", "back", "Back", tooltip="Back to the data; while editing: leave the value as it was"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        self._lost = ""
        try:
            self._plan: Plan = plan(draft)
        except UserError as error:  # set by hand for other data
            method = {name: value for name, value in draft.overrides.items() if name == "method"}  # goes with the data
            self._draft = msgspec.structs.replace(draft, overrides=method)
            self._plan = plan(self._draft)
            self._lost = f"{error} What you had set is automatic again."
        self._shown = (self._draft, self._plan)
        self._all = False
        self._editing: str | None = None

    @property
    def heading(self) -> str:
        """Which named recipe, and what the whole is predicted to need."""
        draft, proposal = self._shown
        return f"{draft.preset.title if draft.preset else 'Usual'} · {proposal.verdict}"

    def compose_body(self) -> ComposeResult:
        """The form, an input line while editing, what the recipe needs, help for the field under the cursor."""
        yield OptionList(id="form")
        yield Input(id="editor")
        yield PartsBar()
        yield Static(id="help")

    def on_mount(self) -> None:
        """Draw the form."""
        self._fill()
        self.complain(self._lost)
        self.query_one(OptionList).focus()

    @property
    def _fields(self) -> list[Field]:
        ordered = sorted(FIELDS, key=lambda field: not field.common)
        return [field for field in ordered if self._all or field.common]

    def _fill(self) -> None:
        form = self.query_one(OptionList)
        at = form.highlighted or 0
        form.set_options([Option(self._line(field), id=field.name) for field in self._fields])
        form.highlighted = min(at, form.option_count - 1)
        self.call_after_refresh(form.scroll_to_highlight)  # with an editor or a longer verdict there is less room
        self.query_one(PartsBar).show(self._shown[1], self._draft.hardware.free_training_bytes)
        self.redraw_rail()
        self._explain()

    def _line(self, field: Field) -> Content:
        draft, proposal = self._shown
        value = getattr(proposal.recipe, field.name)
        why = proposal.because.get(field.name, "")
        mark = "*" if field.name in draft.overrides else " "
        return Content.assemble(
            f"{mark} {field.label:18}", (f"{show_value(field, value):>16}", "bold"), (f"   {why}", "dim")
        )

    def _current(self) -> Field:
        form = self.query_one(OptionList)
        return self._fields[form.highlighted or 0]

    def _explain(self) -> None:
        field = self._current()
        limits = "; ".join(part for part in (" or ".join(field.choices), field.bounds) if part)
        self.query_one("#help", Static).update(Content(f"{field.help}{' (' + limits + ')' if limits else ''}"))

    def on_option_list_option_highlighted(self) -> None:
        """Help follows the cursor."""
        self._explain()

    def on_option_list_option_selected(self) -> None:
        """Enter goes on; a value is edited with e."""
        self.action_next()

    def _set(self, name: str, text: str) -> None:
        """Try a value; the recipe changes only when it is sound together with all others."""
        try:
            self._apply(self._with(name, text))
        except UserError as error:
            self.complain(str(error))

    def _with(self, name: str, text: str) -> Draft:
        value = parse_value(name, text)
        return msgspec.structs.replace(self._draft, overrides={**self._draft.overrides, name: value})

    def _apply(self, draft: Draft) -> None:
        require_rows(draft)
        proposal = plan(draft)
        self._draft, self._plan = self._shown = draft, proposal
        self.complain()
        self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        """While a value is typed everything shows what would come of it; text that is no value changes nothing."""
        if self._editing is None:
            return
        self._shown = (self._draft, self._plan)
        with contextlib.suppress(UserError):
            draft = self._with(self._editing, event.value)
            self._shown = (draft, plan(draft))
        self._fill()

    def action_edit(self) -> None:
        """Open the input line for the field under the cursor; choices just change."""
        field = self._current()
        if field.kind in {"choice", "bool"}:
            self.action_change(1)
            return
        self._editing = field.name
        value = getattr(self._plan.recipe, field.name)
        editor = self.query_one("#editor", Input)
        editor.value = "" if value is None else show_value(msgspec.structs.replace(field, unit=""), value)
        editor.border_title = (
            f"{field.label}: enter keeps it, esc does not{', empty is automatic' if field.optional else ''}"
        )
        editor.display = True
        editor.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Check what was typed; a bad value stays in the line with a sentence."""
        if self._editing is None:
            return
        self._set(self._editing, event.value)
        if not self.query_one("#problem").display:
            self._close_editor()

    def _close_editor(self) -> None:
        self._editing = None
        self.query_one("#editor").display = False
        self.complain()
        self._shown = (self._draft, self._plan)
        self._fill()
        self.query_one(OptionList).focus()

    def action_change(self, by: int) -> None:
        """The next choice; sizes double or halve."""
        field = self._current()
        value = getattr(self._plan.recipe, field.name)
        if field.kind == "choice":
            at = field.choices.index(value)
            self._set(field.name, field.choices[(at + by) % len(field.choices)])
        elif field.kind == "bool":
            self._set(field.name, "off" if value else "on")
        elif field.name in NUMBER_STEPS:
            self._set(field.name, str(value * 2 if by > 0 else value // 2))
        else:
            self.action_edit()

    def action_automatic(self) -> None:
        """Forget a value set by hand."""
        name = self._current().name
        overrides = {key: value for key, value in self._draft.overrides.items() if key != name}
        try:
            self._apply(msgspec.structs.replace(self._draft, overrides=overrides))
        except UserError as error:
            self.complain(str(error))

    def action_preset(self) -> None:
        """The next named recipe; values set by hand stay."""
        presets = list(load_presets().values())
        names = [preset.name for preset in presets]
        now = self._draft.preset.name if self._draft.preset else names[0]
        chosen = presets[(names.index(now) + 1) % len(presets)]
        try:
            self._apply(choose_preset(self._draft, chosen))
            self.query_one("#help", Static).update(Content(f"{chosen.title}: {chosen.summary}"))
        except UserError as error:
            self.complain(str(error))

    def action_more(self) -> None:
        """Show or hide the less common fields."""
        self._all = not self._all
        self._fill()

    def action_next(self) -> None:
        """On to the review."""
        self.post_message(StepRequested("Review", self._draft))

    def action_back(self) -> None:
        """Close the input line, or go back to the data."""
        if self._editing is not None:
            self._close_editor()
            return
        self.post_message(StepRequested("Data", self._draft))
