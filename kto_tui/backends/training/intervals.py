"""How often a run logs, evaluates, answers and saves; the values may change while it trains."""

from dataclasses import dataclass

from kto_tui.recipe import Recipe

# What is automatic comes at each third and at half of the run, but not more often than this. Measured on the starter
# run, where 96 held-out rows take as long as 2.2 steps and eight answers as 2.3: 14 % more than without.
LEAST_STEPS = 10


@dataclass
class Intervals:
    """Steps between two of each; None: automatic.

    Attributes:
        total: steps of the run, once they are known.
    """

    log_every: int
    eval_every: int | None
    sample_every: int | None
    save_every: int | None
    total: int = 0

    @classmethod
    def of(cls, recipe: Recipe) -> "Intervals":
        """Those of ``recipe``."""
        return cls(recipe.log_every, recipe.eval_every, recipe.sample_every, recipe.save_every)

    def logs(self, step: int) -> bool:
        """Whether ``step`` is a point of the curves."""
        return step == 1 or step % self.log_every == 0

    def evaluates(self, step: int) -> bool:
        """Whether the held-out rows are scored after ``step``."""
        return step % (self.eval_every or self._part(3)) == 0

    def samples(self, step: int) -> bool:
        """Whether prompts are answered after ``step``."""
        return step % (self.sample_every or self._part(2)) == 0

    def _part(self, parts: int) -> int:
        return max(LEAST_STEPS, -(-self.total // parts))
