"""Health in plain words: each check with its state and a sentence, and the delivered files with what became of them."""

from collections import Counter
from dataclasses import dataclass

from reports import numbers
from reports.model import ArmCount, DeliveryRow, ExperimentReport
from reports.words import IGNORED, invalid_rule, number_of, quoted, reject_reason

FILES_SHOWN = 40
"""More files make a page nobody reads; the others are in the JSON."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked; its state is ``good``, ``note`` (worth knowing) or ``bad`` (to be mended)."""

    state: str
    title: str
    text: str


GENERAL = "only general invalid traffic is looked for, not robots that pass for people"

STATES = {"good": "Good", "note": "Note", "bad": "Problem"}


def checks(experiment: ExperimentReport) -> tuple[Check, ...]:
    """Everything that could make the figures untrustworthy, in the order a careful reader would ask."""
    return (
        _split(experiment),
        _crossover(experiment),
        *_audience(experiment),
        _days(experiment),
        *_late(experiment),
        *_capped(experiment),
        _bots(experiment),
        _clicks(experiment),
        *_conversions(experiment),
        _lines(experiment.health.deliveries),
    )


def _split(experiment: ExperimentReport) -> Check:
    health, title = experiment.health, "Fair split"
    if health.sample_ratio_ok is None:
        return Check("note", title, "There is nothing to test yet.")
    p = numbers.p_phrase(health.sample_ratio_p)
    if health.sample_ratio_ok:
        return Check("good", title, f"Each style reached the share of the audience it was promised ({p}).")
    return Check(
        "bad",
        title,
        f"The styles did not reach the shares of the audience they were promised ({p}). Look for a style that is "
        "slow to load, blocked, or logged differently.",
    )


def _crossover(experiment: ExperimentReport) -> Check:
    health, limit, unit = experiment.health, experiment.method.crossover_share, experiment.method.unit
    seen = sum(row.observed for row in health.units)
    title, who = "One style each", number_of(health.crossover_units, unit)
    if not health.crossover_units:
        return Check("good", title, f"No {unit} saw more than one style.")
    verb = "was" if health.crossover_units == 1 else "were"
    text = f"{who} saw more than one style and {verb} counted under the first"
    if not seen:
        return Check("note", title, f"{text}.")
    share = health.crossover_units / seen
    text = f"{text}: {numbers.percent(share)} of all"
    if share > limit:
        return Check("bad", title, f"{text}, above the limit of {numbers.limit(limit)}.")
    return Check("good", title, f"{text}, within the limit of {numbers.limit(limit)}.")


def _audience(experiment: ExperimentReport) -> tuple[Check, ...]:
    """Where the plan names segments: are all styles shown to the same people?"""
    balance, limit, title = experiment.health.balance, experiment.method.balance_p, "Same audience"
    if not balance:
        return ()
    column, p = min(balance, key=lambda each: each[1])
    corrected = min(1.0, p * len(balance))
    if limit is not None and corrected < limit:
        text = f"The styles were shown to different audiences by {column} ({numbers.p_phrase(corrected)})."
        return (Check("bad", title, text),)
    columns = " and ".join(column for column, _ in balance)
    return (
        Check(
            "good", title, f"All styles reached the same mix of people by {columns} ({numbers.p_phrase(corrected)})."
        ),
    )


def _late(experiment: ExperimentReport) -> tuple[Check, ...]:
    share, title = experiment.health.mature_share, "Late outcomes"
    if share is None:
        return ()
    text = (
        f"{numbers.percent(share)} of the {experiment.method.unit}s have had the whole time in which a conversion "
        "counts; measures of conversions and money count these."
    )
    return (Check("good" if share >= (experiment.method.mature_share or 0) else "note", title, text),)


def _capped(experiment: ExperimentReport) -> tuple[Check, ...]:
    capped = experiment.health.capped_units
    if not capped:
        return ()
    by_arm = _by_arm(capped)
    total = number_of(sum(row.count for row in capped), experiment.method.unit)
    return (
        Check("note", "Large orders", f"{total} brought more than the plan's cap and count as the cap ({by_arm})."),
    )


def _days(experiment: ExperimentReport) -> Check:
    health, title = experiment.health, "Complete days"
    if not health.days_expected:
        return Check("note", title, "No whole day has passed yet.")
    if health.days_covered >= health.days_expected:
        return Check(
            "good", title, f"All {number_of(health.days_expected, 'whole day')} since the start have impressions."
        )
    missing = health.days_expected - health.days_covered
    verb = "has" if missing == 1 else "have"
    enough = health.days_covered >= experiment.method.coverage * health.days_expected
    text = f"{number_of(missing, 'day')} of {numbers.count(health.days_expected)} {verb} no impressions"
    return Check("note" if enough else "bad", title, f"{text}. Look for log files that were not delivered.")


def _bots(experiment: ExperimentReport) -> Check:
    counts, title = experiment.health.invalid_impressions, "Bots"
    total = sum(row.count for row in counts)
    if not total:
        return Check("good", title, f"No impressions by bots or other programs ({GENERAL}).")
    rules = experiment.health.invalid_rules or (("declared_bot", counts),)
    parts = [
        f"{numbers.count(sum(row.count for row in rows))} {invalid_rule(rule)} ({_by_arm(rows)})"
        for rule, rows in rules
    ]
    if len(parts) > 1:
        text = f"{number_of(total, 'impression')} not by a person left out ({GENERAL}): {'; '.join(parts)}."
        return Check("note", title, text)
    ((rule, rows),) = rules
    text = f"{number_of(total, 'impression')} {invalid_rule(rule)} left out ({_by_arm(rows)}; {GENERAL})."
    return Check("note", title, text)


def _by_arm(counts: tuple[ArmCount, ...]) -> str:
    return ", ".join(f"{quoted(row.arm)} {numbers.count(row.count)}" for row in counts if row.count)


def _clicks(experiment: ExperimentReport) -> Check:
    health, title = experiment.health, "Clicks"
    parts, rules = [], dict(health.click_rules)
    if repeated := rules.pop("repeated_click", ()):
        count = number_of(health.repeated_clicks, "repeated click")
        parts.append(
            f"{count}, on the same impression or soon after on the same creative, left out ({_by_arm(repeated)})"
        )
    elif health.repeated_clicks:
        parts.append(f"{number_of(health.repeated_clicks, 'repeated click')} on the same impression left out")
    parts += [
        f"{number_of(sum(row.count for row in rows), 'click')} {invalid_rule(rule)} left out ({_by_arm(rows)})"
        for rule, rows in rules.items()
    ]
    if health.unmatched_clicks:
        parts.append(f"{number_of(health.unmatched_clicks, 'click')} without a matching impression left out")
    if not parts:
        return Check("good", title, "Every click belongs to one impression.")
    return Check("note", title, f"{'; '.join(parts)}.")


def _conversions(experiment: ExperimentReport) -> tuple[Check, ...]:
    """By which touch they count, in what money, and what was taken back."""
    health, parts = experiment.health, []
    click, view = health.conversions_by_click, health.conversions_by_view
    several = health.currencies if len(health.currencies) > 1 else ()
    if several:
        paid = ", ".join(f"{numbers.count(count)} in {currency}" for currency, count in several)
        parts.append(f"Money is in several currencies, and added up as it is ({paid})")
    if click is not None and view is not None and click + view:
        parts.append(f"{number_of(click, 'conversion')} by a click, {numbers.count(view)} by a view")
    if health.withdrawn_conversions:
        taken = number_of(health.withdrawn_conversions, "conversion")
        parts.append(f"{taken} retracted or refunded whole left out")
    if health.unmatched_adjustments:
        lost = number_of(health.unmatched_adjustments, "refund or correction", "refunds or corrections")
        parts.append(f"{lost} of conversions that never came")
    return (
        (Check("note" if several or health.unmatched_adjustments else "good", "Conversions", f"{'; '.join(parts)}."),)
        if parts
        else ()
    )


def _lines(deliveries: tuple[DeliveryRow, ...]) -> Check:
    title = "Delivered lines"
    if not deliveries:
        return Check("note", title, "No files were delivered this week.")
    counted = [row for row in deliveries if not row.replaced]
    read = sum(row.read for row in counted)
    duplicate = sum(row.duplicate for row in counted)
    reasons = [each for row in counted for each in row.rejected]
    ignored = sum(count for code, count in reasons if code == IGNORED)
    rejected = sum(count for _, count in reasons) - ignored
    text = (
        f"{number_of(read, 'line')} read: {numbers.count(read - duplicate - rejected - ignored)} accepted, "
        f"{numbers.count(duplicate)} seen before, {numbers.count(rejected)} rejected and kept for repair"
        f"{f', {numbers.count(ignored)} of kinds that are left out' if ignored else ''}."
    )
    if len(counted) < len(deliveries):
        text += f" Not counted: {number_of(len(deliveries) - len(counted), 'file')} that came anew since."
    return Check("note" if rejected else "good", title, text)


def rejects(deliveries: tuple[DeliveryRow, ...]) -> str:
    """``3 × wrong number of columns, 2 × a time that cannot be read``; the most frequent first."""
    total: Counter[str] = Counter()
    for row in deliveries:
        total.update({} if row.replaced else dict(row.rejected))
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{numbers.count(count)} × {reject_reason(code)}" for code, count in ordered if count)


def shown(deliveries: tuple[DeliveryRow, ...]) -> tuple[DeliveryRow, ...]:
    """All files where they are few; else those with the most rejected lines, in the order of delivery."""
    if len(deliveries) <= FILES_SHOWN:
        return deliveries
    worst = sorted(
        range(len(deliveries)),
        key=lambda n: (deliveries[n].replaced, -sum(c for _, c in deliveries[n].rejected), n),
    )
    return tuple(deliveries[n] for n in sorted(worst[:FILES_SHOWN]))
