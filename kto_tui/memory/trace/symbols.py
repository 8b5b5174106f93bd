"""Sizes as monomials: each dimension of a traced tensor told apart by its value, so that one trace speaks for all."""

import itertools
from collections.abc import Iterable, Mapping
from fractions import Fraction

Monomial = tuple[str, ...]
Polynomial = dict[Monomial, float]

# Products of dimensions that reshapes make, besides the dimensions themselves.
MOST_FACTORS = 3
FACTORS = (Fraction(1), Fraction(2), Fraction(1, 2), Fraction(4))


class Symbols:
    """Names for sizes.

    Args:
        values: size of every name; no two products of the same few names may be equal.
        sums: sizes that are sums, such as those of fused projections, as (coefficient, names) terms.
        groups: names that occur together in products.
    """

    def __init__(
        self,
        values: Mapping[str, int],
        sums: Mapping[int, Polynomial],
        groups: Iterable[tuple[str, ...]],
    ) -> None:
        self.values = dict(values)
        self._known: dict[int, Polynomial] = dict(sums)
        self._tokens: dict[tuple[int, ...], Polynomial | None] = {}
        for name, value in values.items():
            self._learn(value, (name,), Fraction(1))
        for group in groups:
            self._learn_products(group)

    def _learn_products(self, group: tuple[str, ...]) -> None:
        for count in range(1, MOST_FACTORS + 1):
            for names in itertools.combinations(group, count):
                product = 1
                for name in names:
                    product *= self.values[name]
                for factor in FACTORS:
                    size = product * factor
                    if size.denominator == 1:
                        self._learn(int(size), names, factor)

    def _learn(self, size: int, names: tuple[str, ...], factor: Fraction) -> None:
        self._known.setdefault(size, {tuple(sorted(names)): float(factor)})

    def dimension(self, size: int) -> Polynomial | None:
        """One dimension; small numbers are themselves, an unknown size is None."""
        if size in self._known:
            return self._known[size]
        return {(): float(size)} if size <= 4 else None

    def elements(self, shape: tuple[int, ...]) -> Polynomial | None:
        """How many elements a tensor of this shape has; None if one of its dimensions has no name."""
        if shape not in self._tokens:
            total: Polynomial | None = {(): 1.0}
            for size in shape:
                part = self.dimension(size)
                total = None if total is None or part is None else _product(total, part)
            self._tokens[shape] = total
        return self._tokens[shape]


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for (names, a), (others, b) in itertools.product(left.items(), right.items()):
        key = tuple(sorted(names + others))
        found[key] = found.get(key, 0.0) + a * b
    return found


def add(total: Polynomial, part: Polynomial, times: float) -> None:
    """``total`` += ``times`` * ``part``, in place; terms that vanish are removed."""
    for names, value in part.items():
        left = total.get(names, 0.0) + value * times
        if left:
            total[names] = left
        else:
            total.pop(names, None)


def evaluate(polynomial: Mapping[Monomial, float], values: Mapping[str, float]) -> float:
    """The polynomial's value."""
    total = 0.0
    for names, value in polynomial.items():
        for name in names:
            value *= values[name]  # noqa: PLW2901 - the running product
        total += value
    return total
