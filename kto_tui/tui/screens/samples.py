"""Answers to the fixed prompts by step, the base model's beside them."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from kto_tui import units
from kto_tui.runs.events import Answer, Sampled
from kto_tui.runs.state import RunState
from kto_tui.tui.visible import one_line, visible
from kto_tui.tui.wizard import KeyLine

SIDE_BY_SIDE = 110  # columns of a terminal from which two answers stand beside each other
GAP = 3


class SamplesScreen(Screen[None]):
    """Walks the steps at which the model was asked, and the prompts.

    Args:
        run_id: of the run.
        state: what it answered so far; ``show`` brings what comes while the screen is open.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "right", "step(1)", "Step", key_display="←→", tooltip="The answers at the next step, at the one before"
        ),
        Binding("left", "step(-1)", show=False, priority=True),
        Binding("down", "prompt(1)", "Prompt", key_display="↑↓", tooltip="The next prompt, the one before"),
        Binding("up", "prompt(-1)", show=False, priority=True),
        Binding("j", "scroll(1)", "Scroll", key_display="j/k", tooltip="Long answers: scroll down, scroll up"),
        Binding("k", "scroll(-1)", show=False),
        Binding("escape,enter,g,q", "close", "Back", key_display="esc", tooltip="Back to the curves"),
    ]

    def __init__(self, run_id: str, state: RunState) -> None:
        super().__init__()
        self._run_id = run_id
        self._samples: Sequence[Sampled] = state.samples
        self._prompt = ""
        self._at: int | None = None  # a step; None: the newest

    def compose(self) -> ComposeResult:
        """Where we are, prompt and answers, measures, keys."""
        yield Static(id="rail")
        with VerticalScroll(classes="fill", can_focus=False):
            yield Static(id="lines")
        yield Static(id="measures")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """The newest answers to the first prompt."""
        self._draw()

    def on_resize(self) -> None:
        """Answers are as wide as there is room."""
        self._draw()

    def show(self, state: RunState) -> None:
        """Answers that came since; who looks at the newest step goes with it."""
        if state.samples != self._samples:
            self._samples = state.samples
            self._draw()

    @property
    def _steps(self) -> list[int]:
        return sorted({sample.step for sample in self._samples})

    @property
    def _step(self) -> int:
        """The step looked at: the newest that has been sampled up to the one that was chosen."""
        steps = self._steps
        return steps[-1] if self._at is None else max((step for step in steps if step <= self._at), default=steps[0])

    @property
    def _prompts(self) -> list[str]:
        """Every prompt that was ever asked, those added later too."""
        return list(dict.fromkeys(answer.prompt for sample in self._samples for answer in sample.answers))

    def _answer(self, step: int, prompt: str) -> Answer | None:
        """The newest one: a prompt may have been asked again at the same step."""
        found = [one for each in self._samples if each.step == step for one in each.answers if one.prompt == prompt]
        return found[-1] if found else None

    def _draw(self) -> None:
        heading = f" {self._run_id}: answers"
        if not self._samples:
            self.query_one("#rail", Static).update(Content.styled(heading, "bold"))
            self.query_one("#lines", Static).update("No answers yet: the base model is asked before the first step.")
            return
        prompts, steps = self._prompts, self._steps
        if self._prompt not in prompts:
            self._prompt = prompts[0]
        step, at = self._step, prompts.index(self._prompt)
        place = f"at step {step}, {steps.index(step) + 1} of {len(steps)}   prompt {at + 1} of {len(prompts)}"
        self.query_one("#rail", Static).update(Content.assemble((f"{heading} ", "bold"), place))
        self.query_one("#lines", Static).update(Content("\n\n\n").join(self._texts(prompts[at:], step)))
        self.query_one("#measures", Static).update(Content("\n").join(self._measures(step)))

    def _texts(self, prompts: Sequence[str], step: int) -> list[Content]:
        """The first prompt with its answers, and as many of the others as there is room for."""
        width, room = self.app.size.width - 3, self.query_one(VerticalScroll).size.height
        texts: list[Content] = []
        for prompt in prompts:
            text = self._text(prompt, step, width)
            room -= len(text.wrap(width)) + (2 if texts else 0)
            if texts and room < 0:
                break
            texts.append(text)
        return texts

    def _text(self, asked: str, step: int, width: int) -> Content:
        base = self._said("base model", self._answer(0, asked))
        now = self._said(f"at step {step}", self._answer(step, asked))
        prompt = Content.styled(visible(asked), "bold")
        if not step:
            return Content("\n\n").join([prompt, base])
        if width < SIDE_BY_SIDE:
            return Content("\n\n").join([prompt, base, now])
        half = (width - GAP) // 2
        columns = [text.wrap(half) for text in (base, now)]
        rows = max(map(len, columns))
        left, right = ([*lines, *[Content()] * (rows - len(lines))] for lines in columns)
        beside = [
            Content.assemble(one, " " * (half + GAP - one.cell_length), other)
            for one, other in zip(left, right, strict=True)
        ]
        return Content("\n").join([prompt, Content(), *beside])

    def _said(self, who: str, answer: Answer | None) -> Content:
        if answer is None:
            return Content.assemble((who, "bold dim"), ("\nwas not asked this.", "dim"))
        text = visible(answer.text).strip() or "(nothing)"
        return Content.assemble((who, "bold dim"), f"\n{text}", ("" if answer.finished else " [...]", "dim"))

    def _measures(self, step: int) -> list[Content]:
        """Of the base model and of this step, one line each."""
        newest = {sample.step: sample for sample in self._samples}
        return [Content(_measured(newest[at])) for at in dict.fromkeys((0, step)) if at in newest]

    def action_step(self, by: int) -> None:
        """Another step."""
        if steps := self._steps:
            at = max(0, min(steps.index(self._step) + by, len(steps) - 1))
            self._at = None if at == len(steps) - 1 else steps[at]
            self._draw()

    def action_prompt(self, by: int) -> None:
        """Another prompt."""
        if prompts := self._prompts:
            self._prompt = prompts[(prompts.index(self._prompt) + by) % len(prompts)]
            self._draw()
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def action_scroll(self, by: int) -> None:
        """Lines of a long answer."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_close(self) -> None:
        """Back to the curves."""
        self.app.pop_screen()


def _measured(sample: Sampled) -> str:
    who = f"step {sample.step}" if sample.step else "base model"
    parts = [f"mean {units.metric(sample.mean_words, 0)} words"]
    parts.append(f"{units.percent(sample.finished_share)} ended by the model")
    if sample.behaviour is not None:
        parts.append(f"{one_line(sample.behaviour, 60)} {units.percent(sample.behaviour_share)}")
    return f"{who:10}  {', '.join(parts)}"
