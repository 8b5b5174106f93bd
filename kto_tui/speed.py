"""How long a run will take and what energy it will need: from this machine's own runs, else from the device's class."""

import functools
import statistics
import tomllib

import msgspec

from kto_tui import units
from kto_tui.catalog import ModelSpec
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware
from kto_tui.memory.measured import speeds
from kto_tui.paths import presets
from kto_tui.recipe import Recipe

# Matrix products per parameter and token, two operations each (arXiv:2001.08361, section 2.1): a pass forward; the
# gradient of the activations; with checkpointing forward again; the mismatched pass; both passes of the reference,
# which later epochs read back. Weights are frozen, so their own gradient is not made.
FORWARD, BACKWARD = 2.0, 2.0
# A row's prompt and answer beside its longest allowed length, where nothing is known of the data.
TYPICAL_SHARE = 0.5
HOUR, DAY = 3600.0, 86_400.0
CLASS_ROWS = 1000
UNMEASURED = "unknown until a run here has measured it"


class Speed(msgspec.Struct, frozen=True):
    """Predicted speed.

    Attributes:
        tokens_per_second: of training, all passes included.
        watts: mean draw; None where nothing measures it.
        basis: where both come from, in words.
    """

    tokens_per_second: float
    watts: float | None
    basis: str


class Classes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """presets/speeds.toml."""

    share: float
    tflops: dict[str, float]


@functools.cache
def classes() -> Classes:
    """The table of device classes, read once."""
    file = presets() / "speeds.toml"
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Classes)
    except (OSError, ValueError) as error:
        raise UserError(f"Unreadable ({error})", mend="Correct it or reinstall", where=str(file)) from error


def flops_per_token(model: ModelSpec, recipe: Recipe) -> float | None:
    """Useful operations for one token of training in a first epoch; None where the model's size is unknown."""
    active = model.active_params
    if active is None:
        return None
    passes = FORWARD + BACKWARD + (FORWARD if recipe.gradient_checkpointing else 0.0)
    if recipe.method == "kto":
        passes += FORWARD + (2 * FORWARD if recipe.loss_type == "kto" else 0.0)
    return passes * active


def speed(model: ModelSpec, recipe: Recipe, hardware: Hardware, backend: str = "hf") -> Speed | None:
    """The speed to expect; None where neither a run nor a data sheet says anything."""
    needed = flops_per_token(model, recipe)
    if needed is None:
        return None
    name = hardware.device_name
    own = [] if hardware.planned_as else speeds(name, backend)
    if own:
        watts = [one.watts for one in own if one.watts is not None]
        runs = f"measured in {len(own)} run{'' if len(own) == 1 else 's'} here"
        return Speed(
            statistics.median(one.flops for one in own) / needed, statistics.median(watts) if watts else None, runs
        )
    gpu = hardware.training_gpu
    if gpu is None or name is None or gpu.mig:
        return None
    known = {word: value for word, value in classes().tflops.items() if word.lower() in name.lower()}
    if not known:
        return None
    peak = known[max(known, key=len)]
    limit = gpu.power_limit_watts
    drawn = "" if limit is None else f", {limit:.0f} W"
    basis = f"class estimate: {classes().share:.0%} of the data sheet's {peak:g} TFLOPS{drawn}, not measured"
    return Speed(peak * 1e12 * classes().share / needed, limit, basis)


def run_tokens(recipe: Recipe, rows: int, row_tokens: float | None) -> float:
    """Tokens a run trains on: rows times their mean length, as often as its epochs or steps say."""
    length = row_tokens if row_tokens is not None else TYPICAL_SHARE * recipe.max_length
    passes = recipe.epochs * rows if recipe.steps is None else recipe.steps * recipe.effective_batch
    return passes * min(length, recipe.max_length)


class Effort(msgspec.Struct, frozen=True):
    """Predicted time and energy of a run's training steps; evaluation and answers come on top.

    Attributes:
        seconds: of training.
        watt_hours: None where nothing says what the device draws.
        basis: where both come from, in words.
    """

    seconds: float
    watt_hours: float | None
    basis: str

    def __str__(self) -> str:
        """``about 25 min, 92 Wh (measured in 3 runs here)``."""
        energy = "" if self.watt_hours is None else f", {units.energy(self.watt_hours)}"
        return f"{units.about(self.seconds)}{energy} ({self.basis})"


def effort(
    model: ModelSpec,
    recipe: Recipe,
    hardware: Hardware,
    rows: int,
    row_tokens: float | None = None,
    backend: str = "hf",
) -> Effort | None:
    """What training on ``rows`` rows of ``row_tokens`` tokens each takes; None where no speed is known."""
    found = speed(model, recipe, hardware, backend)
    if found is None:
        return None
    seconds = run_tokens(recipe, rows, row_tokens) / found.tokens_per_second
    return Effort(seconds, None if found.watts is None else found.watts * seconds / HOUR, found.basis)


def speed_class(found: Speed | None, row_tokens: float) -> str:
    """How long 1,000 rows of so many tokens take, in a word: minutes, hours, days; unknown where nothing is."""
    if found is None:
        return "unknown"
    seconds = CLASS_ROWS * row_tokens / found.tokens_per_second
    return "minutes" if seconds < HOUR else "hours" if seconds < DAY else "days"
