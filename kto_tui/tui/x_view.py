"""Which stretch of an x axis the charts show: all of it, or a part that follows the newest point or stands."""

from dataclasses import dataclass, replace

JUMPS = 4  # a part that follows moves on by a quarter of itself: at every point it would be drawn anew


@dataclass(frozen=True, slots=True)
class XView:
    """What is shown of an axis from 0 to ``total``.

    Attributes:
        total: where the axis ends: the planned steps, or the time that charts have room for.
        newest: x of the newest point.
        length: of the part shown; None shows all.
        right: its right edge; None follows the newest point.
        smallest: length there can be.
    """

    total: float = 1.0
    newest: float = 0.0
    length: float | None = None
    right: float | None = None
    smallest: float = 10.0

    @property
    def edges(self) -> tuple[float, float]:
        """x of the left and of the right edge."""
        if self.length is None or self.length >= self.total:
            return 0.0, self.total
        right = self.right
        if right is None:
            jump = self.length / JUMPS
            right = (self.newest // jump + 1) * jump
        right = min(max(right, self.length), self.total)
        return right - self.length, right

    def grown(self, total: float, newest: float) -> "XView":
        """The same part once there is more to show."""
        return replace(self, total=total, newest=newest)

    def zoomed(self, factor: float, around: float | None) -> "XView":
        """Show ``factor`` times as much, ``around`` in the middle; without it, what was followed still is."""
        left, right = self.edges
        length = max(self.smallest, (right - left) * factor)
        if length >= self.total:
            return replace(self, length=None, right=None)
        if around is None:
            return replace(self, length=length, right=self.right and right)
        return replace(self, length=length, right=around + length / 2)

    def held(self, x: float) -> "XView":
        """Shows ``x``, moved there if it was outside."""
        left, right = self.edges
        if self.length is None or left <= x <= right:
            return self
        return replace(self, right=x + self.length if x < left else x)

    @property
    def follows(self) -> bool:
        """Whether the newest point stays in sight."""
        return self.length is None or self.right is None

    def turned(self) -> "XView":
        """Follows where it stood, stands where it followed."""
        return replace(self, right=self.edges[1] if self.right is None else None)
