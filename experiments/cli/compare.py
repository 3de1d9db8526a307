"""``adstyle compare``: the statistics of any table of arms or units, no workspace needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments.cli.shell import console, print_json, styled

if TYPE_CHECKING:
    from experiments.cli.special import Reading
    from experiments.core.statistics.comparison import Comparison, Correction
    from experiments.core.statistics.posterior import RatePrior
    from experiments.core.statistics.sequential import Looks
    from experiments.core.verdict import Verdict
    from experiments.ingest.table import Group


def compare(
    file: Annotated[Path, typer.Argument(help="CSV, JSON lines or Parquet (.gz too).")],
    numerator: Annotated[str, typer.Option(metavar="COLUMN", help="What is counted, for example clicks.")],
    denominator: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Over what, for example impressions; each unit counts 1 if not given."),
    ] = None,
    arm: Annotated[str, typer.Option(metavar="COLUMN", help="The arm's name.")] = "arm",
    unit: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Rows of units or events: what was randomised. Summed per unit first."),
    ] = None,
    units: Annotated[str | None, typer.Option(metavar="COLUMN", help="Aggregates: how many units an arm has.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="One comparison for each value.")] = None,
    control: Annotated[str | None, typer.Option(metavar="ARM", help="The control; the first arm if not given.")] = None,
    split: Annotated[
        str | None, typer.Option(metavar="A=0.5,B=0.5", help="Shares units were assigned in; even if not given.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Two-sided level over all arms and looks.")] = 0.05,
    correction: Annotated[
        str, typer.Option(metavar="dunnett|holm|none", help="How arms are corrected for each other.")
    ] = "dunnett",
    looks: Annotated[
        str | None, typer.Option(metavar="K/N", help="This is look K of N equally informative ones.")
    ] = None,
    information: Annotated[
        str | None, typer.Option(metavar="F1,F2,...", help="Information fractions of the looks so far, uneven ones.")
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="With --information: no look comes after this one, though less came.")
    ] = False,
    spending: Annotated[
        str, typer.Option(metavar="FAMILY", help="Alpha spending: obrien_fleming, pocock or power:RHO.")
    ] = "obrien_fleming",
    before: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="What the numerator was before the experiment (with --unit): adjusts by the units' own history.",
        ),
    ] = None,
    denominator_before: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What the denominator was before.")
    ] = None,
    winsorise: Annotated[
        float | None,
        typer.Option(
            metavar="CAP", help="Count at most this much of a unit (with --unit); declare it before the data."
        ),
    ] = None,
    stratum: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="What was known of each unit before, like its country (with --unit): arms are compared as if they had "
            "drawn the same mix of it (post-stratification).",
        ),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Compare this quantile of the rows' values (with --unit, whose rows are alike): 0.9."
        ),
    ] = None,
    planned: Annotated[
        float | None,
        typer.Option(
            metavar="COUNT",
            help="Add the reading that may be looked at at any time, narrowest at this count in all arms together "
            "(over its dispersion; for values, units), fixed before the start.",
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="COUNT/OVER",
            help="What is known of every arm's rate beforehand, as if so many had been counted over so much: 20/1000. "
            "For the chance to be best, the risk and the credible intervals; no p-value heeds it.",
        ),
    ] = None,
    credible: Annotated[
        bool, typer.Option("--credible", help="Add each arm's 95 % credible interval (with --json).")
    ] = False,
    crossover: Annotated[
        float, typer.Option(help="Largest share of units in two arms before nothing is valid.")
    ] = 0.01,
    add_up: Annotated[bool, typer.Option("--sum", help="Add up repeated rows of an arm (aggregates).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object a group, one line each.")] = False,
) -> None:
    """Compare arms with their control: lifts, intervals, p-values, a verdict; right for arms, looks and people."""
    from experiments.cli.special import by_history, by_quantile, by_stratum
    from experiments.core.errors import ExperimentError
    from experiments.core.statistics.comparison import Correction
    from experiments.ingest.table import Columns, Group, read_groups
    from experiments.ingest.units import Measure, read_unit_metrics

    if not 0 < alpha < 1:
        raise ExperimentError(f"--alpha {alpha} is not between 0 and 1")
    if not 0 <= crossover <= 1:
        raise ExperimentError(f"--crossover {crossover:g} is no share of the units: 0.01 for 1 %, 1 for no limit")
    if correction not in tuple(Correction):
        raise ExperimentError(f"--correction {correction!r} is none of dunnett, holm, none")
    if unit and (units or add_up):
        raise ExperimentError("--units and --sum belong to aggregates; with --unit, rows are summed per unit anyway")
    schedule = _schedule(looks, information, spending, final=final)
    _refuse_contradictions(
        per_unit={"--before": before, "--winsorise": winsorise, "--stratum": stratum, "--quantile": quantile},
        unit=unit, group=group,
    )  # fmt: skip
    if denominator_before and not (before and denominator):
        raise ExperimentError("--denominator-before belongs to --before and --denominator")
    if winsorise is not None and not 0 < winsorise < float("inf"):
        raise ExperimentError(f"--winsorise {winsorise:g} is no cap: give an amount above 0")
    if quantile is not None and denominator:
        raise ExperimentError("--quantile is of the rows' own values: it goes without --denominator")
    if prior and (before or stratum or quantile is not None):
        raise ExperimentError("--prior goes without --before, --stratum and --quantile: those are read without one")
    if planned is not None and (stratum or quantile is not None):
        raise ExperimentError("--planned goes without --stratum and --quantile")
    columns, reading = Columns(arm, numerator, denominator, unit, units, group, add_up), None
    if stratum is not None:
        reading = by_stratum(file, columns, stratum)
    elif quantile is not None:
        reading = by_quantile(file, columns, quantile)
    elif unit is not None and (before or winsorise is not None):
        measure = Measure("asked", numerator, denominator, before, denominator_before, winsorise)
        found = read_unit_metrics(file, arm=arm, unit=unit, measures=[measure])
        reading = by_history(found, adjust=before is not None)
    groups: Sequence[Group] = (reading.group,) if reading else read_groups(file, columns)
    shares = None if split is None else parse_split(split)
    if group is None and control is not None and control not in groups[0].arms:
        raise ExperimentError(f"there is no arm {control!r} in {file}; the arms are {', '.join(groups[0].arms)}")
    if shares is not None:
        strangers = sorted({name for each in groups for name in each.arms} - set(shares))
        if strangers:
            raise ExperimentError(f"--split does not name arm {strangers[0]!r}: give every arm a share")
    request = Request(
        control, shares, alpha, Correction(correction), schedule, crossover, not unit and units != denominator, planned,
        reading, parse_prior(prior), credible,
    )  # fmt: skip
    metric: dict[str, Any] = {"numerator": numerator, "denominator": denominator or "units"}
    if quantile is not None:
        metric["quantile"] = quantile
    for each, comparison, verdict in judge_groups(groups, request):
        document = as_document(each, comparison, verdict, metric, request)
        if as_json:
            print_json(document)
        else:
            _print(document)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of every group alike."""

    control: str | None
    shares: dict[str, float] | None
    alpha: float
    correction: "Correction"
    looks: "Looks"
    crossover: float
    assumed_independent: bool
    planned: float | None = None
    reading: "Reading | None" = None
    """Of the one group there is, in a way of its own."""
    prior: "RatePrior | None" = None
    credible: bool = False


def judge_groups(groups: "Sequence[Group]", request: Request) -> "Iterator[tuple[Group, Comparison | None, Verdict]]":
    """Each group with its comparison (None where none can be made) and verdict; groups of one size share a pass."""
    from experiments.core.statistics.comparison import compare_groups
    from experiments.core.statistics.posterior import JEFFREYS
    from experiments.core.verdict import Reason, invalid

    ready: list[tuple[str, dict[str, Any]]] = []
    refused: dict[int, Reason] = {}
    for index, each in enumerate(groups):
        control = request.control or next(iter(each.arms))
        empty = next((arm for arm, pair in each.arms.items() if pair.x <= 0), None)
        if control not in each.arms:
            refused[index] = Reason("control_missing", {"control": control})
        elif len(each.arms) < 2:
            refused[index] = Reason("one_arm")
        elif empty is not None:
            refused[index] = Reason("no_denominator", {"arm": empty})
        else:
            ready.append((control, each.arms))
    if request.reading is not None and request.reading.compare is not None and ready:
        special = request.reading.compare(
            control=ready[0][0], alpha=request.alpha, correction=request.correction, looks=request.looks,
            split=request.shares,
        )  # fmt: skip
        yield groups[0], special, _judged(groups[0], special, request)
        return
    found = compare_groups(
        ready, split=request.shares, alpha=request.alpha, correction=request.correction, looks=request.looks,
        prior=request.prior or JEFFREYS,
    )  # fmt: skip
    comparisons = iter(found)
    for index, each in enumerate(groups):
        if index in refused:
            yield each, None, invalid(refused[index])
            continue
        comparison = next(comparisons)
        yield each, comparison, _judged(each, comparison, request)


def _judged(group: "Group", comparison: "Comparison", request: Request) -> "Verdict":
    from experiments.core.verdict import Reason, judge

    share = group.crossover / group.seen if group.seen else 0.0
    crossed = Reason("crossover", {"share": share, "threshold": request.crossover})
    return judge(comparison, failed=[crossed] if share > request.crossover else [])


def as_document(
    group: "Group", comparison: "Comparison | None", verdict: "Verdict", metric: dict[str, str], request: Request
) -> dict[str, Any]:
    """The JSON object of one group: every key is always there."""
    from reports.words import reason

    arms = (
        [_fields(arm) for arm in comparison.arms]
        if comparison
        else [_bare(name, pair) for name, pair in group.arms.items()]
    )
    if not request.credible:
        arms = [{key: value for key, value in arm.items() if not key.startswith("credible")} for arm in arms]
    return {
        "group": group.name,
        "metric": metric,
        "alpha": request.alpha,
        "look": [request.looks.look, request.looks.looks],
        "control": comparison.control if comparison else request.control or next(iter(group.arms)),
        "sample_ratio": _fields(comparison.sample_ratio) if comparison else {"p": None, "ok": False},
        "crossover": group.crossover,
        "notes": _notes(comparison, request),
        "arms": arms,
        "lifts": _lifts(group, comparison, request) if comparison else [],
        "best": _fields(comparison.best) if comparison else None,
        "verdict": {
            "kind": verdict.kind,
            "arm": verdict.arm,
            "reasons": [
                {"code": each.code, "text": reason(each.code, each.parameters), "parameters": dict(each.parameters)}
                for each in verdict.reasons
            ],
        },
    }


def _notes(comparison: "Comparison | None", request: Request) -> list[str]:
    notes = ["assumed_independent"] if request.assumed_independent else []
    if comparison is None:
        return notes
    note = request.reading.note if request.reading else None
    notes += [note] if note and (note != "adjusted_by_history" or comparison.adjusted) else []
    return notes + (["unequal_dispersion"] if comparison.dispersed else [])


def _lifts(group: "Group", comparison: "Comparison", request: Request) -> list[dict[str, Any]]:
    lifts = [_fields(lift) for lift in comparison.lifts]
    if request.planned is not None:
        from experiments.core.statistics.readings import always_valid

        found = always_valid(
            group.arms,
            control=comparison.control,
            planned=request.planned,
            alpha=request.alpha,
            split=request.shares,
        )
        for lift, each in zip(lifts, found, strict=True):
            lift["anytime"] = {name: value for name, value in _fields(each).items() if name != "arm"}
    return lifts


def _fields(record: Any) -> dict[str, Any]:
    """As ``dataclasses.asdict``, which copies deeply and is slow over thousands of groups."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _bare(name: str, pair: Any) -> dict[str, Any]:
    rate = pair.y / pair.x if pair.x else None
    empty = dict.fromkeys(("low", "high", "probability_best", "expected_loss", "credible_low", "credible_high"))
    return {"arm": name, "units": pair.units, "numerator": pair.y, "denominator": pair.x, "rate": rate, **empty}


def _refuse_contradictions(per_unit: dict[str, Any], unit: str | None, group: str | None) -> None:
    """Options that read each unit need them, and one group; only --before and --winsorise go together."""
    from experiments.core.errors import ExperimentError

    asked = [name for name, value in per_unit.items() if value is not None]
    if asked and (unit is None or group is not None):
        raise ExperimentError(f"{asked[0]} needs --unit, and goes without --group")
    apart = [name for name in asked if name in ("--stratum", "--quantile")]
    if apart and len(asked) > 1:
        other = next(name for name in asked if name != apart[0])
        raise ExperimentError(f"{apart[0]} goes without {other}: ask for one after the other")


def _schedule(looks: str | None, information: str | None, spending: str, *, final: bool) -> "Looks":
    from experiments.core.errors import ExperimentError
    from experiments.core.statistics.sequential import Looks
    from experiments.core.statistics.spending import Spending

    family = Spending.parse(spending)
    if final and not information:
        raise ExperimentError("--final belongs to --information: --looks K/N says itself which is the last")

    if looks and information:
        raise ExperimentError("--looks and --information both say how far the experiment is: give one of them")
    if information:
        try:
            fractions = tuple(float(part) for part in information.split(","))
        except ValueError:
            raise ExperimentError(f"--information {information!r} is no list of numbers like 0.3,0.7,1") from None
        return Looks.at(fractions, final=final, family=family)
    try:
        look, of = (int(part) for part in (looks or "1/1").split("/"))
    except ValueError:
        raise ExperimentError(f"--looks {looks!r} is not of the form K/N, like 2/4") from None
    return Looks.even(look, of, family)


def parse_prior(prior: str | None) -> "RatePrior | None":
    """Counts over what they were counted in."""
    from experiments.core.errors import ExperimentError
    from experiments.core.statistics.posterior import RatePrior

    if prior is None:
        return None
    try:
        events, over = (float(part) for part in prior.split("/"))
    except ValueError:
        raise ExperimentError(f"--prior {prior!r} is not of the form COUNT/OVER, like 20/1000") from None
    return RatePrior(events, over, 1.0)


def parse_split(split: str) -> dict[str, float]:
    """Shares by arm, in the order given."""
    from math import isfinite

    from experiments.core.errors import ExperimentError

    shares = dict[str, float]()
    for part in split.split(","):
        name, _, share = part.rpartition("=")
        if name in shares:
            raise ExperimentError(f"--split names arm {name!r} twice: give every arm one share")
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = -1.0
        if not name or not isfinite(shares[name]) or shares[name] < 0:
            raise ExperimentError(f"--split {part!r} is not of the form ARM=SHARE with a share from 0 up")
    return shares


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    from reports.numbers import change, count, p_value, percent

    def interval(low: float | None, high: float | None, show: Any) -> str:
        return (
            ""
            if low is None and high is None
            else f"{show(low) if low is not None else '–'} to {show(high) if high is not None else 'any'}"
        )

    out = console()
    if document["group"] is not None:
        out.print(f"\n{document['group']}", style="bold")
    lifts = {lift["arm"]: lift for lift in document["lifts"]}
    metric = document["metric"]
    table = Table(
        "arm", metric["numerator"], metric["denominator"], "rate", "lift", "interval", "p", "p adjusted", box=None
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for arm in document["arms"]:
        lift = lifts.get(arm["arm"])
        cells = [
            arm["arm"],
            count(arm["numerator"]),
            count(arm["denominator"]),
            "" if arm["rate"] is None else percent(arm["rate"]),
        ]
        if lift is None:
            cells += ["control" if arm["arm"] == document["control"] else "", "", "", ""]
        else:
            relative = "" if lift["relative"] is None else change(lift["relative"])
            cells += [relative, interval(lift["relative_low"], lift["relative_high"], change)]
            cells += [p_value(lift["p"]), p_value(lift["p_adjusted"])]
        table.add_row(*cells)
    out.print(table)
    verdict = document["verdict"]
    said = " ".join(reason["text"] for reason in verdict["reasons"])
    kind = verdict["kind"].replace("_", " ")
    out.print(styled(" ".join(filter(None, (kind, verdict["arm"]))), "bold"), f": {said}", sep="")
    for arm, lift in lifts.items():
        if "anytime" in lift:
            reading = lift["anytime"]
            ends = interval(reading["relative_low"], reading["relative_high"], change) or "too early for an interval"
            out.print(f"At any time, {arm}: p {p_value(reading['p'])}, lift {ends}.")
    if "adjusted_by_history" in document["notes"]:
        out.print("Rates and lifts are adjusted by what the units did before.", style="dim")
    if "post_stratified" in document["notes"]:
        out.print("Rates and lifts are those of arms that had drawn the same mix of strata.", style="dim")
    if "quantile" in document["notes"]:
        out.print(f"The rate is the {metric['quantile']:g} quantile of {metric['numerator']}.", style="dim")
    if "unequal_dispersion" in document["notes"]:
        out.print("Units of one arm are far more unlike each other than the others': look who they are.", style="dim")
    if "assumed_independent" in document["notes"]:
        told = any(arm["units"] != arm["denominator"] for arm in document["arms"])
        what = "independent of a unit's others" if told else "an independent, randomised unit"
        out.print(f"Each of the {metric['denominator']} is assumed to be {what}.", style="dim")
