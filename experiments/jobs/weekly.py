"""Fill the weekly report's model from the stores: every number the page shows is looked up or computed here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from creatives.render import thumbnail
from experiments.core.delivery import as_it_stands
from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.gates import balance_p
from experiments.core.judgement import compare_evidence
from experiments.core.lifecycle import Milestone, MilestoneKind, Phase, State, replay
from experiments.core.metrics import metric_named
from experiments.core.plan import Plan
from experiments.core.statistics.batched import sample_ratio_of
from experiments.core.statistics.comparison import ArmEstimate, compare
from experiments.core.statistics.moments import PairMoments
from experiments.core.statistics.sample_ratio import sample_ratio
from experiments.core.statistics.sequential import Looks
from experiments.events.evidence import gather
from experiments.events.upkeep import EVENTS
from experiments.jobs.context import Context, Progress, silent
from experiments.jobs.counted import counted_rows
from experiments.jobs.leaderboard import HASH, build_leaderboard
from experiments.jobs.upkeep import RETENTION_DAYS, Retain, is_needed
from experiments.jobs.verdict_rows import (
    flat,
    guardrail_rows,
    lift_rows,
    metric_view,
    secondary_rows,
    segment_views,
    verdict_view,
    with_expected,
)
from experiments.store.codec import Damaged
from experiments.store.records import ExperimentRecord, Life, MilestoneRecord, VerdictRecord
from reports.model import (
    ArmCount,
    ArmRow,
    ArmUnits,
    BoardView,
    DailyRow,
    DecisionView,
    DeliveryRow,
    ExperimentReport,
    HealthView,
    LookRow,
    MethodFacts,
    MilestoneRow,
    ReasonView,
    StyleRow,
    VariantTile,
    WeeklyReport,
)

CLOSING = timedelta(days=1)
"""A week's page stays open until a day after its last midnight: Sunday's look is judged, and promoted, on Monday."""
ANSWERS = frozenset({MilestoneKind.DECLINED, MilestoneKind.STOPPED, MilestoneKind.ROLLED_BACK, MilestoneKind.ARCHIVED})
"""What a person decided, perhaps on having read the page of the week before: it is news of the week it happened in."""
PROPOSALS = 3
"""Styles to try next that a page names."""
THUMBNAIL = 320
"""Longest side in pixels."""
PAGE_IS_LOST = "its page cannot be made any more; one that was made stays as it is"
"""How a complaint ends after which a page is not tried again by itself: there was nothing else to be on it."""


class EventsForgotten(ExperimentError):
    """What a page would show of an experiment can be read no more."""


def in_week(
    lived: Sequence[tuple[ExperimentRecord, Life | Damaged]], start: datetime, end: datetime
) -> dict[str, State]:
    """Those that had started, and were not over before the week began, as they stood at its end; no damaged ones.

    One is not over while a winner waits for a person.
    """
    found = {}
    for record, life in lived:
        if isinstance(life, Damaged) or life.plan.start >= end:
            continue
        history = _until(life.history, end + CLOSING)
        state = _state(history)
        if state is None or state.plan_hash is None:
            continue
        news = any(fact.at >= (start if fact.kind in ANSWERS else start + CLOSING) for fact in history)
        if news or state.proposed or state.phase in (Phase.RUNNING, Phase.PAUSED, Phase.PROMOTED):
            found[record.name] = state
    return found


def build_report(
    context: Context, week: str, start: datetime, end: datetime, only: str | None, progress: Progress = silent
) -> tuple[WeeklyReport, tuple[EventsForgotten | Damaged, ...]]:
    """The week's report, of one experiment where ``only`` is given; and why it is without those it had to leave out.

    Raises:
        EventsForgotten, Damaged: where nothing is left.
    """
    as_of = min(end, context.clock())  # of a week that is not over there is no more to count
    lived = () if only else context.control.lives()
    begun = {only: _begun(context, only, end)} if only else in_week(lived, start, end)
    sections, unmade = list[ExperimentReport](), list[EventsForgotten | Damaged]()
    for number, (name, state) in enumerate(begun.items()):
        progress(f"gathering {week}", number, len(begun))
        try:
            sections.append(_section(context, name, state, start, end, as_of))
        except (EventsForgotten, Damaged) as error:
            unmade.append(error)
    progress(f"gathering {week}", len(begun), len(begun))
    if unmade and not sections:
        lost = isinstance(unmade[0], EventsForgotten)
        raise EventsForgotten(f"{unmade[0]}: {PAGE_IS_LOST}") if lost else unmade[0]
    report = WeeklyReport(
        workspace=context.workspace.name,
        week=week,
        start=start.date(),
        end=(end - timedelta(days=1)).date(),
        as_of=as_of,
        sections=tuple(sections),
        leaderboard=() if only else _leaderboard(context, end, progress),
    )
    return report, (*unmade, *_damaged(lived, end))


def _damaged(lived: Sequence[tuple[ExperimentRecord, Life | Damaged]], end: datetime) -> tuple[Damaged, ...]:
    """Those that may belong on a page: nobody knows when they ran."""
    return tuple(
        life
        for record, life in lived
        if isinstance(life, Damaged) and record.phase is not Phase.ARCHIVED and record.created_at < end
    )


def _leaderboard(context: Context, end: datetime, progress: Progress) -> tuple[BoardView, ...]:
    """What all experiments had shown by the end of the week."""
    return tuple(
        BoardView(
            metric=metric_view(metric_named(board.metric)),
            control=HASH.sub("", board.control),
            experiments=len(board.experiments),
            styles=tuple(
                StyleRow(**{name: getattr(row, name) for name in StyleRow.__slots__}) for row in board.standings
            ),
            proposals=tuple(
                (each.style, ReasonView(each.reason.code, flat(each.reason.parameters)))
                for each in board.proposals[:PROPOSALS]
            ),
        )
        for board in build_leaderboard(context, progress=progress, until=end).boards
    )


def _begun(context: Context, name: str, end: datetime) -> State:
    state = _state(_until(context.control.history(name), end + CLOSING))
    if state is None or state.plan_hash is None or context.control.plan(name)[0].start >= end:
        raise ExperimentError(f"{name} had not started by {end:%Y-%m-%d}: there is nothing to report")
    return state


def _until(history: tuple[MilestoneRecord, ...], instant: datetime) -> tuple[MilestoneRecord, ...]:
    return tuple(fact for fact in history if fact.at < instant)


def _state(history: tuple[MilestoneRecord, ...]) -> State | None:
    """What the milestones amount to; None where there are none yet."""
    return replay(Milestone(fact.kind, fact.payload) for fact in history)


def _section(
    context: Context, name: str, state: State, start: datetime, end: datetime, as_of: datetime
) -> ExperimentReport:
    history = _until(context.control.history(name), end + CLOSING)
    plan, plan_hash = context.control.plan(name)
    verdicts = tuple(each for each in context.control.verdicts(name) if plan.look_time(each.look) <= end)
    latest = verdicts[-1] if verdicts else None
    evidence = _evidence(context, plan, latest, _measured_until(history, plan, latest, as_of))
    compared = latest.document["comparison"] if latest else None
    brief = context.control.brief(context.control.experiment(name).brief).document
    primary = plan.primary
    counted, counts_version = counted_rows(context, plan, evidence.as_of)
    return ExperimentReport(
        name=name,
        title=brief["headline"],
        advertiser=brief["advertiser"],
        campaign=brief["campaign"],
        phase=str(state.phase),
        look=len(verdicts),
        looks=plan.looks.count,
        verdict=verdict_view(latest) if latest else None,
        decision=_decision(state, history),
        metric=metric_view(primary),
        arms=_arms(plan, evidence, latest),
        lifts=with_expected(lift_rows(compared), latest),
        looks_taken=tuple(
            LookRow(each.look, plan.look_time(each.look), lift_rows(each.document["comparison"]), each.kind)
            for each in verdicts
        ),
        daily=tuple(DailyRow(row.day, row.arm, row.impressions, row.clicks) for row in evidence.daily),
        guardrails=guardrail_rows(plan, latest) if latest else (),
        health=_health(context, plan, evidence, start, end),
        gallery=_gallery(context, name, plan, brief["headline"]),
        timeline=tuple(MilestoneRow(fact.at, str(fact.kind), fact.actor, flat(fact.payload)) for fact in history),
        method=_method(plan, plan_hash, evidence, counts_version),
        secondary=secondary_rows(plan, latest) if latest else (),
        segments=segment_views(plan, latest) if latest else (),
        counted=counted,
    )


def _measured_until(
    history: tuple[MilestoneRecord, ...], plan: Plan, latest: VerdictRecord | None, as_of: datetime
) -> datetime:
    """The page's instant or, if that came first, the experiment's end: later units were no longer dealt by its plan."""
    ends = {str(fact.kind): fact.at for fact in history}
    if "stopped" in ends:
        return min(as_of, ends["stopped"])
    return plan.look_time(latest.look) if "concluded" in ends and latest else as_of


def _evidence(context: Context, plan: Plan, latest: VerdictRecord | None, until: datetime) -> Evidence:
    """What the last look judged, if it was at that instant; if not, a reading of its own, which decides nothing.

    Where events of that time are forgotten, it is what was read of them before.
    """
    if latest and plan.look_time(latest.look) == until:
        return context.control.evidence(latest.evidence_id)
    if gone := _forgotten(context, plan):
        return _recorded(context, plan.experiment, until, gone)
    evidence = gather(context.lake, plan, until, dealt=context.control.dealings(plan.experiment))
    context.control.record_evidence(evidence)
    return evidence


def _forgotten(context: Context, plan: Plan) -> date | None:
    """The day before which `Retain` has forgotten events of the experiment; None where all since its start are kept.

    Its ledger says which days each table lost, also where it was interrupted; experiments that were needed then kept
    theirs. Outcomes are of no experiment, and their day is never after the start of one that is needed.
    """
    first, history, lost = plan.start.date(), context.control.history(plan.experiment), []
    for entry in context.ledger.entries(Retain.name):
        table, before = entry.period[: -len("-2026-01-01")], date.fromisoformat(entry.period[-len("2026-01-01") :])
        if table in EVENTS and before > first:
            run_by = datetime.combine(before + timedelta(days=RETENTION_DAYS + 1), time(), UTC)
            if table == "outcomes" or not is_needed(_until(history, run_by), run_by):
                lost.append(before)
    return max(lost, default=None)


def _recorded(context: Context, name: str, until: datetime, gone: date) -> Evidence:
    """The evidence recorded when a page was first made for that instant: all of it, should there be some with less."""
    recorded = context.control.evidence_at(name, until)
    if not recorded:
        raise EventsForgotten(
            f"{name}: events from before {gone} are forgotten, and no evidence as of {until:%Y-%m-%d %H:%M} UTC was "
            "recorded while they were there"
        )
    # What was gathered after days were forgotten lacks them; of those that lack none, the latest has late events too.
    return max(recorded, key=lambda each: len(each.daily))


def _decision(state: State, history: tuple[MilestoneRecord, ...]) -> DecisionView:
    name = state.experiment
    by_kind = {str(fact.kind): fact for fact in history}
    rollback = f"adstyle experiment rollback {name}"
    match state.phase:
        case Phase.PROMOTED:
            fact = by_kind["promoted"]
            return DecisionView("promoted", state.promoted_arm, fact.at, fact.actor, undo_command=rollback)
        case Phase.ROLLED_BACK:
            fact = by_kind["rolled_back"]
            return DecisionView("rolled_back", state.winner, fact.at, fact.actor)
        case Phase.CONCLUDED if state.proposed:
            fact = by_kind["proposed"]
            return DecisionView(
                "proposed", state.proposed, fact.at, fact.actor,
                undo_command=f"adstyle experiment decline {name}", next_command=f"adstyle experiment approve {name}",
            )  # fmt: skip
        case Phase.CONCLUDED:
            fact = by_kind.get("stopped") or by_kind["concluded"]
            return DecisionView(str(fact.kind), state.winner, fact.at, fact.actor)
        case Phase.RUNNING:
            return DecisionView("waiting", next_command=f"adstyle experiment stop {name}")
        case Phase.PAUSED:
            fact = by_kind["paused"]
            again = f"adstyle experiment resume {name}"
            return DecisionView("paused", None, fact.at, fact.actor, next_command=again)
        case Phase.ARCHIVED:
            fact = by_kind["archived"]
            return DecisionView("archived", None, fact.at, fact.actor)
        case _:
            return DecisionView("none")


def _arms(plan: Plan, evidence: Evidence, latest: VerdictRecord | None) -> tuple[ArmRow, ...]:
    """Every arm's evidence to date; how probably it is best is only said at a look."""
    metric = plan.primary
    pairs = {arm.name: evidence.pair(arm.name, metric) for arm in plan.arms}
    estimates = _estimates(pairs, plan, evidence)
    judged = latest is not None and plan.look_time(latest.look) == evidence.as_of
    return tuple(
        ArmRow(
            name=arm.name,
            style=arm.style,
            control=arm.name == plan.control,
            units=pairs[arm.name].units,
            numerator=pairs[arm.name].y,
            denominator=pairs[arm.name].x,
            rate=estimate.rate if estimate else None,
            low=estimate.low if estimate else None,
            high=estimate.high if estimate else None,
            probability_best=estimate.probability_best if estimate and judged else None,
            expected_loss=estimate.expected_loss if estimate and judged else None,
        )
        for arm in plan.arms
        for estimate in (estimates.get(arm.name),)
    )


def _estimates(pairs: Mapping[str, PairMoments], plan: Plan, evidence: Evidence) -> dict[str, ArmEstimate]:
    """The arms that have a rate, where the control has one and is not alone."""
    shown = {name: pair for name, pair in pairs.items() if pair.x > 0}
    if plan.control not in shown or len(shown) < 2:
        return {}
    if evidence.moved and len(shown) == len(pairs):
        return {each.arm: each for each in compare_evidence(plan, plan.primary, evidence, Looks.even()).arms}
    found = compare(shown, control=plan.control, split=plan.weights, direction=plan.primary.direction)
    return {each.arm: each for each in found.arms}


def _by_rule(counts: Mapping[str, Mapping[str, int]]) -> tuple[tuple[str, tuple[ArmCount, ...]], ...]:
    """Counts by arm and rule, by rule and arm."""
    return tuple(
        (rule, tuple(ArmCount(arm, of[rule]) for arm, of in sorted(counts.items()) if rule in of))
        for rule in sorted({rule for of in counts.values() for rule in of})
    )


def _health(context: Context, plan: Plan, evidence: Evidence, start: datetime, end: datetime) -> HealthView:
    whole = ({name: moments.units for name, moments in evidence.arms.items()}, plan.shares)
    dealt = [({arm: each.units for arm, each in batch.arms.items()}, batch.shares) for batch in evidence.dealt]
    parts = dealt if evidence.batches else [whole]
    threshold = plan.gates.sample_ratio_p
    ratio = None
    if any(sum(units.values()) for units, _ in parts):
        ratio = sample_ratio_of(parts, threshold) if evidence.batches else sample_ratio(*whole, threshold)
    health = evidence.health
    by_click = sum(health.conversions_by_click.values()) if health.conversions_by_click else None
    conversions = sum(moments.total("conversions") for moments in evidence.arms.values())
    return HealthView(
        sample_ratio_p=ratio.p if ratio else None,
        sample_ratio_ok=ratio.ok if ratio else None,
        units=tuple(
            ArmUnits(
                arm,
                sum(sum(units.values()) * shares[arm] for units, shares in parts),
                sum(units[arm] for units, _ in parts),
            )
            for arm in plan.weights
        ),
        crossover_units=health.crossover_units,
        invalid_impressions=tuple(ArmCount(arm, count) for arm, count in sorted(health.invalid_impressions.items())),
        invalid_rules=_by_rule(health.invalid_rules),
        click_rules=_by_rule(health.click_rules),
        repeated_clicks=health.repeated_clicks,
        unmatched_clicks=health.unmatched_clicks,
        days_expected=health.days_expected,
        days_covered=health.days_covered,
        deliveries=tuple(
            DeliveryRow(
                each.name,
                each.kind,
                each.read,
                each.accepted,
                each.duplicate,
                tuple(sorted(each.rejected.items())),
                replaced=each.replaced_by is not None,
            )
            for each in as_it_stands(
                context.deliveries.between(start if plan.start >= start else start + CLOSING, end + CLOSING)
            )
        ),
        mature_share=evidence.mature_share() if any(metric.matures for metric in plan.metrics) else None,
        balance=tuple(balance_p(plan, evidence).items()),
        capped_units=tuple(ArmCount(arm, count) for arm, count in sorted(health.capped_units.items()) if count),
        conversions_by_click=by_click,
        conversions_by_view=None if by_click is None else conversions - by_click,
        currencies=tuple(health.currencies.items()),
        withdrawn_conversions=health.withdrawn_conversions,
        unmatched_adjustments=health.unmatched_adjustments,
    )


def _gallery(context: Context, name: str, plan: Plan, headline: str) -> tuple[VariantTile, ...]:
    styles, folder = {arm.name: arm.style for arm in plan.arms}, context.workspace.folder("variants") / name
    tiles = []
    for variant in context.control.variants(name):
        picture = folder / variant.file_name
        if variant.arm not in styles or not picture.is_file():
            continue  # declined, or cleared away since: the evidence stands without its picture
        look = "the untouched photograph" if variant.arm == plan.control else f"the {variant.arm} look"
        tiles.append(
            VariantTile(
                arm=variant.arm,
                style=styles[variant.arm],
                slot=variant.slot,
                file_name=variant.file_name,
                alt=f"Advertisement “{headline}” at {variant.slot} in {look}",
                width=variant.width,
                height=variant.height,
                thumbnail=thumbnail(picture, THUMBNAIL),
                media_type="image/webp",
                weight=variant.bytes,
            )
        )
    return tuple(tiles)


def _method(plan: Plan, plan_hash: str, evidence: Evidence, counts_version: int | None) -> MethodFacts:
    versions = dict(evidence.lake_versions) | ({} if counts_version is None else {"counts": counts_version})
    return MethodFacts(
        alpha=plan.alpha,
        correction="dunnett",
        spending=plan.looks.spending,
        looks=plan.looks.count,
        look_days=plan.looks.days,
        unit="unit",
        salt=plan.salt,
        plan_hash=plan_hash,
        lake_versions=tuple(sorted(versions.items())),
        click_days=plan.attribution.click_days,
        conversion_days=plan.attribution.conversion_days,
        click_conversion_days=plan.attribution.click_conversion_days,
        promotion=str(plan.promotion),
        holdback=plan.holdback,
        sample_ratio_p=plan.gates.sample_ratio_p,
        crossover_share=plan.gates.crossover_share,
        minimum_units=plan.gates.minimum_units,
        coverage=plan.gates.coverage,
        allocation=str(plan.allocation.rule),
        floor=plan.allocation.floor,
        ends_on_harm=plan.stopping.harm,
        futility_lift=plan.stopping.futility_lift,
        balance_p=plan.gates.balance_p,
        mature_share=plan.gates.mature_share,
        repeat_seconds=plan.traffic.repeat_seconds,
        impressions_an_hour=plan.traffic.impressions_an_hour,
        clicks_an_hour=plan.traffic.clicks_an_hour,
    )
