"""The wizard's steps."""

from collections.abc import Callable

from textual.screen import Screen

from kto_tui.draft import Draft
from kto_tui.hardware import Hardware
from kto_tui.tui.messages import Step
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.hardware import HardwareScreen
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.review import ReviewScreen

WIZARD: dict[Step, Callable[[Draft], Screen[None]]] = {
    "Hardware": HardwareScreen,
    "Model": ModelScreen,
    "Data": DataScreen,
    "Recipe": RecipeScreen,
    "Review": ReviewScreen,
}


def first_step(planned: Hardware | None, *, then_review: bool) -> Screen[None]:
    """Where the wizard begins.

    Args:
        planned: plan for this machine instead of the one at hand.
        then_review: go on to Review with the starter run filled in.
    """
    return HardwareScreen(None if planned is None else Draft(hardware=planned), then_review=then_review)
