"""What ``adstyle compare`` reads of units in a way of its own: adjusted by history, over strata, or a quantile."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.core.statistics.comparison import Comparison
    from experiments.core.statistics.moments import PairMoments
    from experiments.ingest.table import Columns, Group
    from experiments.ingest.units import UnitMetrics


@dataclass(frozen=True, slots=True)
class Reading:
    """One group and how it is compared."""

    group: "Group"
    compare: "Callable[..., Comparison] | None" = None
    """Called with the control and what every comparison takes; None: like any other group."""
    note: str | None = None


def by_history(found: "UnitMetrics", *, adjust: bool) -> Reading:
    """What `read_unit_metrics` found for its one measure; adjusted by what the units did before, where asked."""
    from experiments.core.statistics.comparison import compare_adjusted
    from experiments.ingest.table import Group

    ((_, histories),) = found.metrics.items()
    arms = {name: each.pair for name, each in histories.items()}
    group = Group(None, arms, found.crossover, found.seen)
    if not adjust:
        return Reading(group)
    return Reading(group, lambda **asked: compare_adjusted(histories, **asked), "adjusted_by_history")


def by_stratum(file: Path, columns: "Columns", stratum: str) -> Reading:
    """Rates as if every arm had drawn the same mix of strata."""
    from experiments.core.statistics.strata import post_stratify
    from experiments.ingest.individuals import read_strata
    from experiments.ingest.table import Group

    found = read_strata(
        file, arm=columns.arm, unit=columns.unit or "", numerator=columns.numerator, stratum=stratum,
        denominator=columns.denominator,
    )  # fmt: skip
    estimates = {arm: (each.rate, each.variance, each.units) for arm, each in post_stratify(found.strata).items()}
    arms = found.arms
    return Reading(
        Group(None, arms, found.crossover, found.seen),
        lambda **asked: _estimated(estimates, arms, asked),
        "post_stratified",
    )


def by_quantile(file: Path, columns: "Columns", share: float) -> Reading:
    """A quantile of the rows' values, whose rows belong to units."""
    from experiments.core.statistics.moments import PairMoments
    from experiments.core.statistics.quantiles import clustered_quantile
    from experiments.ingest.individuals import read_rows
    from experiments.ingest.table import Group

    found = read_rows(file, arm=columns.arm, unit=columns.unit or "", column=columns.numerator)
    read = {arm: clustered_quantile(*rows, share) for arm, rows in found.values.items()}
    estimates = {arm: (each.value, each.variance, each.units) for arm, each in read.items()}
    arms = {arm: PairMoments(each.units, each.rows, each.units) for arm, each in read.items()}
    group = Group(None, arms, found.crossover, found.seen)
    return Reading(group, lambda **asked: _estimated(estimates, None, asked), "quantile")


def _estimated(
    estimates: "Mapping[str, tuple[float, float, int]]", arms: "Mapping[str, PairMoments] | None", asked: dict[str, Any]
) -> "Comparison":
    """The estimates compared; beside them what was counted, where a rate was estimated."""
    from experiments.core.statistics.comparison import compare_estimates

    found = compare_estimates(estimates, **asked)
    if arms is None:
        return found
    counted = tuple(replace(each, numerator=arms[each.arm].y, denominator=arms[each.arm].x) for each in found.arms)
    return replace(found, arms=counted)
