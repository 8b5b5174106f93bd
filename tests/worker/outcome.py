"""What a run came to: its curves, its last figures, its adapter, its last word."""

from kto_tui.runs.events import Evaluated, Noted, Resumed, StepCompleted
from kto_tui.runs.folder import RunFolder
from tests.worker.supervised import events_of


def told(run: RunFolder) -> str:
    return "\n".join(event.text for event in events_of(run) if isinstance(event, Noted))


def result(run: RunFolder) -> tuple[dict[int, dict[str, object]], object, object, bytes]:
    """The curves as they stand in the end without times, the last evaluation and answers, and the adapter."""
    curves: dict[int, dict[str, object]] = {}
    for event in events_of(run):
        if isinstance(event, Resumed):
            curves = {step: point for step, point in curves.items() if step <= event.step}
        if isinstance(event, StepCompleted):
            point = {name: getattr(event, name) for name in event.__struct_fields__}
            assert event.step not in curves, "no step is logged twice"
            curves[event.step] = {k: v for k, v in point.items() if k not in {"t", "seconds", "tokens_per_second"}}
    state = run.read_state()
    evaluated = {name: getattr(state.evaluations[-1], name) for name in Evaluated.__struct_fields__ if name != "t"}
    adapter = (run.adapter / "adapter_model.safetensors").read_bytes()
    return curves, evaluated, state.samples[-1].answers, adapter


def ended(run: RunFolder) -> tuple[str, str]:
    last = run.read_state().ended
    assert last is not None, run.log_tail(20)
    return last.reason, last.message
