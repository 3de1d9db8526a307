"""The gates before a verdict: what must hold of the evidence, each by its own threshold in the sealed plan.

Those that fail make a look invalid, whatever the comparison says; those that wait hold a winner back until they are
met. The sample ratio is the comparison's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from experiments.core.evidence import Evidence
from experiments.core.plan import Plan, Role
from experiments.core.statistics.tables import information
from experiments.core.verdict import Reason

Array = NDArray[np.float64]

_SMALLEST_EXPECTED = 5.0
_MONEY = "value_micros"


def failed_gates(plan: Plan, evidence: Evidence) -> list[Reason]:
    """What makes this look invalid."""
    gates, health = plan.gates, evidence.health
    failed = []
    seen = sum(moments.units for moments in evidence.arms.values())
    share = health.crossover_units / seen if seen else 0.0
    if share > gates.crossover_share:
        failed.append(Reason("crossover", {"share": share, "threshold": gates.crossover_share}))
    if health.days_expected and health.days_covered / health.days_expected < gates.coverage:
        said: dict[str, Any] = {"covered": health.days_covered, "expected": health.days_expected}
        failed.append(Reason("coverage", said | {"threshold": gates.coverage}))
    deciding = {metric.numerator for metric in plan.metrics if metric.role is not Role.SECONDARY}
    if _MONEY in deciding and len(health.currencies) > 1:
        failed.append(Reason("mixed_currencies", {"currencies": tuple(health.currencies)}))
    failed += _invalid_traffic(plan, evidence)
    balance = balance_p(plan, evidence)
    if balance and gates.balance_p is not None:
        column, p = min(balance.items(), key=lambda found: found[1])
        corrected = min(1.0, p * len(balance))
        if corrected < gates.balance_p:
            failed.append(
                Reason("covariate_imbalance", {"column": column, "p": corrected, "threshold": gates.balance_p})
            )
    return failed


def waiting_gates(plan: Plan, evidence: Evidence, look: int) -> list[Reason]:
    """What holds a winner back."""
    gates, waiting = plan.gates, []
    matures = plan.primary.matures and evidence.mature is not None
    counted = evidence.mature if matures and evidence.mature is not None else evidence.arms
    fewest = min(plan.arms, key=lambda arm: counted[arm.name].units).name
    if counted[fewest].units < gates.minimum_units:
        said = {"arm": fewest, "units": counted[fewest].units, "needed": gates.minimum_units}
        waiting.append(Reason("wait_minimum_units", said))
    if gates.minimum_information is not None:
        known = information([evidence.pair(arm.name, plan.primary) for arm in plan.arms]) / len(plan.arms)
        if known < gates.minimum_information:
            waiting.append(Reason("wait_information", {"events": known, "needed": gates.minimum_information}))
    days = plan.looks.days * look
    if gates.full_weeks is not None and (days < 7 * gates.full_weeks or days % 7):
        waiting.append(Reason("wait_full_weeks", {"days": days, "needed": gates.full_weeks}))
    if gates.mature_share is not None and plan.decides_on_late and evidence.mature_share() < gates.mature_share:
        share = evidence.mature_share()
        waiting.append(Reason("wait_maturity", {"share": share, "needed": gates.mature_share}))
    return waiting


def balance_p(plan: Plan, evidence: Evidence) -> dict[str, float]:
    """p of arms against segments, by segment column: are all arms shown to the same people?

    Where the arms' shares changed, within batches: the audience changes from week to week, too.
    """
    columns: dict[str, list[Mapping[str, Mapping[str, int]]]] = {}
    for batch in evidence.dealt:
        for column, segments in batch.segments.items():
            columns.setdefault(column, []).append(segments)
    if not evidence.batches:
        whole: dict[str, dict[str, dict[str, int]]] = {}
        for each in evidence.segments:
            whole.setdefault(each.column, {}).setdefault(each.segment, {})[each.arm] = each.moments.units
        columns = {column: [segments] for column, segments in whole.items()}
    arms = [arm.name for arm in plan.arms if arm.weight > 0]
    return {
        column: contingency_p(
            *([[units.get(arm, 0) for arm in arms] for units in segments.values()] for segments in tables)
        )
        for column, tables in columns.items()
        if any(len(segments) > 1 for segments in tables)
    }


def contingency_p(*tables: Sequence[Sequence[int]]) -> float:
    """Pearson's test of independence in each table, their chi-squares added; rows too small for it are taken together.

    1 where there is nothing to test.
    """
    found = [_independence(counts) for counts in tables]
    freedom = sum(each for _, each in found)
    return float(chdtrc(freedom, sum(statistic for statistic, _ in found))) if freedom else 1.0


def _independence(counts: Sequence[Sequence[int]]) -> tuple[float, int]:
    """Chi-square and its degrees of freedom, 0 where there is nothing to test."""
    table = np.array(sorted(counts, key=sum, reverse=True), dtype=np.float64)
    if table.sum() == 0:
        return 0.0, 0
    table = table[:, table.sum(axis=0) > 0]
    total = table.sum()
    thinnest = table.sum(axis=0).min() / total
    small = table.sum(axis=1) * thinnest < _SMALLEST_EXPECTED
    table = np.vstack([table[~small], table[small].sum(axis=0, keepdims=True)])
    if len(table) > 1 and table[-1].sum() * thinnest < _SMALLEST_EXPECTED:
        table = np.vstack([table[:-2], table[-2:].sum(axis=0, keepdims=True)])
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if freedom <= 0:
        return 0.0, 0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    terms = np.square(table - expected) / np.where(expected > 0, expected, 1.0)
    return float(terms.sum()), freedom


def _invalid_traffic(plan: Plan, evidence: Evidence) -> Iterator[Reason]:
    """Bots in one arm more than in the others, or more than people."""
    gates, health = plan.gates, evidence.health
    arms = [arm.name for arm in plan.arms]
    if gates.invalid_share is not None:
        shares = {
            arm: _share(health.invalid_impressions.get(arm, 0), evidence.arms[arm].total("impressions")) for arm in arms
        }
        worst = max(shares, key=lambda arm: shares[arm])
        if shares[worst] > gates.invalid_share:
            said = {"arm": worst, "share": shares[worst], "threshold": gates.invalid_share}
            yield Reason("invalid_traffic", said)
    if gates.invalid_p is not None and any(health.invalid_units.values()):
        parts = evidence.dealt if evidence.batches else ()
        counted = [(part.invalid_units, part.arms) for part in parts] or [(health.invalid_units, evidence.arms)]
        p = contingency_p(
            *([[bots.get(arm, 0) for arm in arms], [people[arm].units for arm in arms]] for bots, people in counted)
        )
        if p < gates.invalid_p:
            yield Reason("invalid_traffic_imbalance", {"p": p, "threshold": gates.invalid_p})


def _share(part: int, rest: int) -> float:
    return part / (part + rest) if part else 0.0
