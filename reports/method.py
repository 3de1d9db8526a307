"""The method in plain words: what was promised before the first impression, and where the figures come from."""

from collections.abc import Mapping

from reports import measures, numbers
from reports.model import ExperimentReport, MethodFacts
from reports.words import control_of, humanised, number_of, quoted

CORRECTIONS: Mapping[str, str] = {
    "dunnett": "All styles are compared with {control} together (Dunnett's method), so that testing many styles does "
    "not make a lucky one more likely to win.",
    "holm": "The comparisons with {control} are corrected for their number (Holm's method), so that testing many "
    "styles does not make a lucky one more likely to win.",
    "none": "The comparisons with {control} are not corrected for their number.",
}

SPENDING: Mapping[str, str] = {
    "obrien_fleming": "strict at first and at its fullest at the end (O'Brien-Fleming type, Lan and DeMets)",
    "pocock": "evenly over the looks (Pocock type, Lan and DeMets)",
}

PROMOTIONS: Mapping[str, str] = {
    "propose": "A winner is proposed; a person approves it.",
    "auto": "A winner is promoted automatically; a person can roll it back at any time.",
}


def method(experiment: ExperimentReport) -> tuple[tuple[str, str], ...]:
    """(term, explanation) in the order a reader would ask."""
    facts = experiment.method
    control = quoted(control_of(experiment), control_of(experiment))
    per = measures.per(experiment.metric, facts.unit)
    looks = f"{number_of(facts.looks, 'look')}, one every {number_of(facts.look_days, 'day')}"
    spending = _spending(facts.spending)
    correction = CORRECTIONS.get(facts.correction, f"Corrected by {humanised(facts.correction)}.")
    lake = ", ".join(f"{table} version {version}" for table, version in facts.lake_versions) or "none yet"
    return (
        (
            "What is measured",
            f"{per[0].upper()}{per[1:]}. Every {facts.unit} always sees the same style, and the uncertainty is "
            f"computed over {facts.unit}s, not over impressions.",
        ),
        (
            "When it is judged",
            f"{looks}. The chance of declaring a winner where there is none is at most {numbers.limit(facts.alpha)} "
            f"over all looks and styles together. It is spent {spending}.{_ends(facts, control)}",
        ),
        *((("How traffic is shared out", _follows(facts)),) if facts.allocation == "top_two" else ()),
        ("Many styles", correction.format(control=control)),
        (
            "What counts",
            f"A click counts for {number_of(facts.click_days, 'day')} after its impression, {_conversions(facts)}. "
            f"{_left_out(facts)} A {facts.unit} that saw more than one style is counted under the first. Where "
            f"conversions decide, only {facts.unit}s count for whom this time has passed.",
        ),
        (
            "When nothing is judged",
            f"If the split is too uneven to be chance (p below {numbers.p_value(facts.sample_ratio_p)}), if more than "
            f"{numbers.limit(facts.crossover_share)} of the {facts.unit}s saw more than one style, if a style has "
            f"fewer than {number_of(facts.minimum_units, facts.unit)}, or if fewer than "
            f"{numbers.limit(facts.coverage)} of the days have impressions.",
        ),
        ("Promotion", PROMOTIONS.get(facts.promotion, humanised(facts.promotion))),
        ("Sealed plan", facts.plan_hash),
        ("Assignment salt", facts.salt),
        ("Event lake", lake),
    )


def _conversions(facts: MethodFacts) -> str:
    """How long conversions count, and after what."""
    shown = number_of(facts.conversion_days, "day")
    if facts.click_conversion_days is None:
        return f"a conversion for {shown}"
    clicked = number_of(facts.click_conversion_days, "day")
    return f"a conversion for {clicked} after the last click or, where there is none, {shown} after the last impression"


def _left_out(facts: MethodFacts) -> str:
    """What is no person's, and which clicks are the same click again."""
    hourly = ((facts.impressions_an_hour, "impression"), (facts.clicks_an_hour, "click"))
    limits = " or ".join(number_of(limit, what) for limit, what in hourly if limit is not None)
    fast = f", {facts.unit}s with more than {limits} in an hour" if limits else ""
    soon = ""
    if facts.repeat_seconds is not None:
        soon = f", unless it follows another on the same creative within {number_of(facts.repeat_seconds, 'second')}"
    return (
        "General invalid traffic is left out: robots that say they are, programs, data centres, what browsers fetch in "
        f"advance, slots without size{fast}. Robots that pass for people are not found. An impression's first "
        f"click counts{soon}."
    )


def _ends(facts: MethodFacts, control: str) -> str:
    """When it ends before its last look without a winner."""
    futile = facts.futility_lift is not None
    hopes = [f"is worse than {control}"] if facts.ends_on_harm else []
    hopes += [f"has hardly a chance left of a lift of {numbers.limit(facts.futility_lift)}"] if futile else []
    return f" It ends early, without a winner, once every style {' or '.join(hopes)}." if hopes else ""


def _follows(facts: MethodFacts) -> str:
    return (
        "After each look it follows the evidence (top-two Thompson sampling); no style gets less than "
        f"{numbers.limit(facts.floor)}. Styles are compared only among {facts.unit}s first shown between two changes, "
        "and these comparisons are combined with weights fixed beforehand (Zhang, Janson and Murphy, 2020): a good "
        "week of one style is never held against a bad week of another. The lifts are therefore not quite what the "
        "rates over the whole time suggest."
    )


def _spending(family: str) -> str:
    name, _, exponent = family.partition(":")
    if name == "power":
        return f"as the elapsed share of the plan to the power of {exponent} (power family, Kim and DeMets)"
    return SPENDING.get(family, humanised(family))
