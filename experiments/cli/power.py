"""``adstyle power``: sample size, duration, minimum detectable lift, for arms and looks together."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shell import Shell, console, one_line, print_json

if TYPE_CHECKING:
    from experiments.core.statistics.power import Design, Outcome, Plan

TABLE = (0.5, 0.75, 1.0, 1.5, 2.0)
"""Lifts of the table, relative to the one asked for."""
CURVE = 33
"""Points of the chart's curve."""
PERHAPS_PERCENT = 2.0
"""From this lift on, 200 %, it may be that percents were meant."""


def power(
    context: typer.Context,
    baseline: Annotated[
        float | None, typer.Option(metavar="RATE", help="The control's rate: 0.02 for 2 clicks in 100.")
    ] = None,
    mean: Annotated[
        float | None, typer.Option(help="The control's mean of a unit, for money and other values.")
    ] = None,
    sd: Annotated[float | None, typer.Option(help="Its standard deviation over units.")] = None,
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take rate, dispersion, shares and traffic from its evidence.")
    ] = None,
    lift: Annotated[float, typer.Option(help="The relative lift that matters: 0.1 for +10 %, -0.1 for -10 %.")] = 0.1,
    arms: Annotated[int, typer.Option(help="How many, the control included.")] = 2,
    split: Annotated[
        str | None, typer.Option(metavar="A=0.5,B=0.5", help="Shares of traffic, the control first, not --arms.")
    ] = None,
    looks: Annotated[int, typer.Option(help="How many times the evidence is judged.")] = 1,
    spending: Annotated[
        str, typer.Option(metavar="FAMILY", help="Alpha spending: obrien_fleming, pocock or power:RHO.")
    ] = "obrien_fleming",
    alpha: Annotated[float, typer.Option(help="Two-sided level over all arms and looks.")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance that the better arm is found.")] = 0.9,
    futility: Annotated[bool, typer.Option("--futility", help="Give arms up that will hardly win any more.")] = False,
    margin: Annotated[float, typer.Option(help="Non-inferiority: a relative loss up to this does not matter.")] = 0.0,
    design_effect: Annotated[
        float, typer.Option(help="Variance over units relative to that of independent ones.")
    ] = 1.0,
    variance_reduction: Annotated[
        float, typer.Option(help="Share of the variance that the units' own history explains.")
    ] = 0.0,
    per_day: Annotated[float | None, typer.Option(help="Units (or impressions) a day, all arms together.")] = None,
    days: Annotated[float | None, typer.Option(help="How long it may take, instead of asking for the sample.")] = None,
    sample: Annotated[float | None, typer.Option(help="Units that there are, all arms together.")] = None,
    chart: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw it, as .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """How many units and days a lift takes or, with --sample or --days, what lift they can find."""
    from experiments.core.errors import ExperimentError
    from experiments.core.plan import Direction
    from experiments.core.statistics.power import Design, anytime_sample, detectable_lift, plan_for, plan_with
    from experiments.core.statistics.spending import Spending

    shell: Shell = context.obj
    _one_of(("--baseline", baseline), ("--mean", mean), ("--experiment", experiment))
    if sample is not None and days is not None:
        raise ExperimentError("--sample and --days both say how much there is: give one of them")
    if not 0 < power < 1:
        raise ExperimentError(f"--power {power:g} is not between 0 and 1")
    if per_day is not None and not 0 < per_day < 1e15:
        raise ExperimentError(f"--per-day {per_day:g} is no traffic: give units a day, all arms together")
    seen = _seen(shell, experiment) if experiment else None
    outcome = (
        seen.outcome(variance_reduction) if seen else _outcome(baseline, mean, sd, design_effect, variance_reduction)
    )
    shares = _shares(split, arms) if split or arms != 2 or not seen else seen.shares
    per_day = per_day if per_day is not None else seen.per_day if seen else None
    direction = Direction.DECREASE if lift < 0 and margin == 0 else Direction.INCREASE
    design = Design(
        outcome, shares, looks, alpha, Spending.parse(spending), direction, margin, (1 - power) if futility else None
    )
    if days is not None:
        if per_day is None:
            raise ExperimentError("--days needs the traffic: add --per-day N")
        if not 0 < days < 1e5:
            raise ExperimentError(f"--days {days:g} is no duration")
        sample = days * per_day
    asked = lift if sample is None else detectable_lift(design, sample, power)

    def planned(lift: float) -> "Plan":
        return plan_for(design, lift, power) if sample is None else plan_with(design, lift, sample)

    chosen = planned(asked)
    lifts = sorted({asked * factor for factor in TABLE}, key=abs)
    table = [planned(lift) for lift in lifts if lift == asked or _possible(design, lift)]
    document = {
        "asked": "lift" if sample is None else "sample",
        "alpha": alpha,
        "power": power,
        "looks": looks,
        "spending": str(design.spending),
        "shares": [share / sum(shares) for share in shares],
        "per_day": per_day,
        "plan": _document(chosen, shares, per_day),
        "lifts": [_document(each, shares, per_day) for each in table],
        "anytime_sample": anytime_sample(design, chosen.lift, min(chosen.power, 0.999)) if margin == 0 else None,
    }
    if chart is not None:
        with one_line():
            _draw(chart, design, asked, power, per_day)
    if as_json:
        print_json(document)
    else:
        _print(document, chosen, looks)
        if chart is not None:
            console().print(f"{chart}")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an experiment's latest evidence says of what to expect."""

    mean: float
    spread: float | None
    design_effect: float
    binary: bool
    shares: tuple[float, ...]
    per_day: float | None

    def outcome(self, reduction: float) -> "Outcome":
        from experiments.core.statistics.power import Outcome

        return Outcome(self.mean, self.spread, self.design_effect, reduction, self.binary)


def _seen(shell: Shell, name: str) -> _Seen:
    from experiments.core.errors import ExperimentError
    from experiments.core.statistics.tables import Outcome, arm_table, dispersion_of, outcome_of
    from experiments.events.evidence import gather

    with shell.open() as stores:
        plan, _ = stores.control.plan(name)
        now = stores.clock()
        evidence = gather(stores.lake, plan, now)
    metric = plan.primary
    moments = [evidence.pair(arm.name, metric) for arm in plan.arms]
    control = evidence.pair(plan.control, metric)
    if control.x <= 0 or control.y <= 0 or any(each.x <= 0 for each in moments):
        raise ExperimentError(f"{name} has no {metric.name} yet to plan with: give --baseline")
    table, kind = arm_table([moments], [[1.0] * len(moments)]), outcome_of(moments)
    rate, spread = control.y / control.x, None
    pooled = table.y.sum(axis=1, keepdims=True) / table.x.sum(axis=1, keepdims=True)
    phi = float(dispersion_of(table, kind, pooled)[0][0, 0])
    if kind is Outcome.VALUE:
        spread = float((table.variances()[0] * table.x[0]).mean() ** 0.5)
    elapsed = (now - plan.start).total_seconds() / 86400
    traffic = sum(each.x for each in moments) / elapsed if elapsed > 0 else None
    weights = tuple(plan.weights[arm] for arm in (plan.control, *(a for a in plan.weights if a != plan.control)))
    return _Seen(
        rate,
        spread,
        1.0 if kind is Outcome.VALUE or kind is Outcome.BINARY else phi,
        kind is Outcome.BINARY,
        weights,
        traffic,
    )


def _one_of(*given: tuple[str, Any]) -> None:
    from experiments.core.errors import ExperimentError

    present = [name for name, value in given if value is not None]
    if len(present) != 1:
        names = ", ".join(name for name, _ in given)
        said = f"{' and '.join(present)} both say" if present else "nothing says"
        raise ExperimentError(f"{said} what the control does: give one of {names}")


def _outcome(
    baseline: float | None, mean: float | None, sd: float | None, design_effect: float, reduction: float
) -> "Outcome":
    from experiments.core.errors import ExperimentError
    from experiments.core.statistics.power import Outcome

    if (mean is None) is not (sd is None):
        raise ExperimentError("--mean and --sd belong together: the spread over units says how many it takes")
    if mean is not None:
        return Outcome(mean, sd, design_effect, reduction)
    assert baseline is not None  # noqa: S101 - one of them was given
    return Outcome(baseline, None, design_effect, reduction)


def _shares(split: str | None, arms: int) -> tuple[float, ...]:
    from experiments.cli.compare import parse_split
    from experiments.core.errors import ExperimentError

    if split is not None:
        return tuple(parse_split(split).values())
    if not 2 <= arms <= 100:
        raise ExperimentError(f"--arms {arms} cannot be: 2 to 100, the control included")
    return (1.0,) * arms


def _possible(design: "Design", lift: float) -> bool:
    from experiments.core.errors import ExperimentError

    try:
        return design.drift(lift, 1.0) > 0
    except ExperimentError:
        return False


def _document(plan: "Plan", shares: tuple[float, ...], per_day: float | None) -> dict[str, Any]:
    days = plan.sample / per_day if per_day else None
    return {
        "lift": plan.lift,
        "sample": ceil(plan.sample - 1e-6),
        "per_arm": [ceil(part - 1e-6) for part in plan.per_arm(shares)],
        "power": plan.power,
        "expected_sample": plan.expected,
        "expected_sample_null": plan.expected_null,
        "fixed_sample": plan.fixed,
        "inflation": plan.sample / plan.fixed,
        "stops": list(plan.stops),
        "days": days,
        "weeks": ceil(days / 7 - 1e-9) if days else None,
    }


def _draw(path: Path, design: "Design", asked: float, power: float, per_day: float | None) -> None:
    from experiments.core.statistics.power import plan_for
    from reports.planning import PlannedLift, planning_chart

    factors = [TABLE[0] * (TABLE[-1] / TABLE[0]) ** (step / (CURVE - 1)) for step in range(CURVE)]
    lifts = sorted({asked, *(asked * factor for factor in factors if _possible(design, asked * factor))})
    plans = [plan_for(design, lift, power) for lift in lifts]
    rows = [
        PlannedLift(each.lift, each.sample, each.expected, each.sample / per_day if per_day else None) for each in plans
    ]
    path.write_bytes(planning_chart(rows, asked, power, path.suffix.lower()))


def _print(document: dict[str, Any], chosen: "Plan", looks: int) -> None:
    from rich.table import Table

    from reports.numbers import change, count, percent

    timed = document["per_day"] is not None
    columns = ["lift", "per arm", "all arms", *(("weeks",) if timed else ()), "power", "mean, if it is there"]
    table = Table(*columns, box=None)
    for column in table.columns:
        column.justify = "right"
    for each in document["lifts"]:
        parts = each["per_arm"]
        shown = count(parts[0]) if len(set(parts)) == 1 else f"{count(min(parts))} to {count(max(parts))}"
        weeks = [count(each["weeks"])] if timed else []
        row = [change(each["lift"]), shown, count(each["sample"]), *weeks, percent(each["power"])]
        table.add_row(*row, count(round(each["expected_sample"])), style="bold" if each["lift"] == chosen.lift else "")
    out = console()
    out.print(table)
    plan = document["plan"]
    arms = len(document["shares"])
    judged = "once, at the end" if looks == 1 else f"{looks} times"
    took = f", {count(plan['weeks'])} week{'s' if plan['weeks'] != 1 else ''}" if timed else ""
    verb = "takes" if document["asked"] == "lift" else "is what can be found with"
    out.print(
        f"A lift of {change(plan['lift'])} {verb} {count(plan['sample'])} units in {arms} arms{took}, judged {judged}, "
        f"with a power of {percent(plan['power'])}."
    )
    if document["asked"] == "lift" and plan["lift"] >= PERHAPS_PERCENT:
        out.print(f"Lifts are given as shares: for one of {plan['lift']:g} %, write --lift {plan['lift'] / 100:g}.")
    if looks > 1:
        out.print(
            f"If the lift is there, {count(round(plan['expected_sample']))} are needed on average; a single look would "
            f"take {count(ceil(plan['fixed_sample']))}."
        )
