"""All words: verdicts, reasons, decisions, milestones and rejected lines in plain English.

Elsewhere a reason is a code and its parameters. An unknown reason is an error, because a verdict nobody can explain
must not be published; an unknown reject or milestone is spelled out from its code, because a page must not fail over
one odd log line. Imports nothing heavy: the command line uses it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from reports import measures, numbers
from reports.errors import ReportError
from reports.model import ArmRow, ExperimentReport, LiftRow, MilestoneRow, SegmentView, Value

Parameters = Mapping[str, Value]


def quoted(arm: str, control: str | None = None) -> str:
    """An arm in a sentence: ``"ink"``; the control that is called original is just ``the original``."""
    return "the original" if arm == control == "original" else f'"{arm}"'


def listing(names: tuple[str, ...]) -> str:
    """``"a", "b" and "c"``."""
    marked = [f'"{name}"' for name in names]
    return " and ".join([", ".join(marked[:-1]), marked[-1]] if len(marked) > 1 else marked)


def number_of(count: float | None, singular: str, plural: str | None = None) -> str:
    """``1 look``, ``3 looks``."""
    return f"{numbers.count(count)} {singular if count == 1 else plural or singular + 's'}"


def humanised(code: str) -> str:
    """A readable fallback made from a code: ``too_many_columns`` is ``too many columns``."""
    return code.replace("_", " ").replace("-", " ").strip() or "no reason given"


# --- reasons of a verdict ---------------------------------------------------------------------------------------------


def _arm(p: Parameters) -> str:
    return quoted(str(p["arm"]))


def _number(p: Parameters, name: str) -> float | None:
    value = p[name]
    if isinstance(value, str | tuple | Mapping):
        raise TypeError(f"the parameter {name!r} of a reason is not a number: {value!r}")
    return value


def _after_correction(p: Parameters) -> str:
    return f"{numbers.p_phrase(_number(p, 'p_adjusted'))} after correction for all styles and looks"


def _p_and_limit(p: Parameters) -> str:
    return f"{numbers.p_phrase(_number(p, 'p'))} (the limit is {numbers.p_value(_number(p, 'threshold'))})"


def _wait_minimum_units(p: Parameters) -> str:
    return (
        f"{_arm(p)} has {numbers.count(_number(p, 'units'))} of the {numbers.count(_number(p, 'needed'))} units "
        "the plan asks for before anything is judged."
    )


def _sample_ratio_mismatch(p: Parameters) -> str:
    return (
        "The styles were not shown in the promised proportions: by chance alone a split this uneven has "
        f"{_p_and_limit(p)}. Something in delivery or logging favours a style, so its figures cannot be compared."
    )


def _coverage(p: Parameters) -> str:
    return (
        f"Only {numbers.count(_number(p, 'covered'))} of {number_of(_number(p, 'expected'), 'whole day')} "
        f"have any impressions (at least {numbers.limit(_number(p, 'threshold'))} is required), "
        "so some logs are probably missing."
    )


def _invalid_traffic(p: Parameters) -> str:
    return (
        f"{numbers.percent(_number(p, 'share'))} of the impressions of {_arm(p)} were not by people "
        f"(the limit is {numbers.limit(_number(p, 'threshold'))}): something fetches the advertisements by itself."
    )


def _invalid_traffic_imbalance(p: Parameters) -> str:
    return (
        "Impressions by bots and programs were not shared evenly between the styles: by chance alone this uneven has "
        f"{_p_and_limit(p)}. Those that no rule knows are then not shared evenly either."
    )


def _covariate_imbalance(p: Parameters) -> str:
    return (
        f"The styles were shown to different audiences: by chance alone, {humanised(str(p['column']))}s this unlike "
        f"have {_p_and_limit(p)}. Something in delivery chooses who sees which style, so their figures cannot be "
        "compared."
    )


def _tie(p: Parameters) -> str:
    return f"{listing(_names(p, 'arms'))} share the highest rate exactly, so none of them is ahead."


def _names(p: Parameters, parameter: str) -> tuple[str, ...]:
    names = p[parameter]
    if not isinstance(names, Iterable):
        raise TypeError(f"{parameter} are not names: {names!r}")
    return tuple(names)


REASONS: Mapping[str, Callable[[Parameters], str]] = {
    "beats_control": lambda p: f"{_arm(p)} beats the control: {_after_correction(p)}.",
    "not_significant": lambda p: (
        f"{_arm(p)} has the highest rate, but its lead over the control may be chance: {_after_correction(p)}."
    ),
    "best_is_control": lambda _: "No style has a higher rate than the control.",
    "wait_next_look": lambda p: (
        f"Look {numbers.count(_number(p, 'look'))} of {numbers.count(_number(p, 'looks'))} did not settle it; "
        "the next look may."
    ),
    "wait_minimum_units": _wait_minimum_units,
    "wait_information": lambda p: (
        f"Each style has had {numbers.count(_number(p, 'events'), 1)} telling events on average; the plan waits for "
        f"{numbers.count(_number(p, 'needed'))}, because fewer can mislead."
    ),
    "wait_full_weeks": lambda p: (
        f"{number_of(_number(p, 'days'), 'day')} have passed; the plan waits for "
        f"{number_of(_number(p, 'needed'), 'week')} and the end of a whole one, because weekdays and weekends differ."
    ),
    "wait_maturity": lambda p: (
        f"{numbers.percent(_number(p, 'share'))} of the units have had the whole time in which a conversion counts; "
        f"the plan waits for {numbers.limit(_number(p, 'needed'))}, because the first to buy are not like the rest."
    ),
    "sample_ratio_mismatch": _sample_ratio_mismatch,
    "crossover": lambda p: (
        f"{numbers.percent(_number(p, 'share'))} of the units saw more than one style "
        f"(the limit is {numbers.limit(_number(p, 'threshold'))}), so the styles' audiences are mixed up."
    ),
    "coverage": _coverage,
    "mixed_currencies": lambda p: (
        f"Conversions were paid in several currencies, {' and '.join(_names(p, 'currencies'))}, and not converted, so "
        "their money cannot be added up: set a reporting currency and its rates."
    ),
    "invalid_traffic": _invalid_traffic,
    "invalid_traffic_imbalance": _invalid_traffic_imbalance,
    "covariate_imbalance": _covariate_imbalance,
    "arm_worse": lambda p: f"{_arm(p)} is worse than the control: {_after_correction(p)}.",
    "arm_futile": lambda p: (
        f"{_arm(p)} has hardly a chance left of the {numbers.limit(_number(p, 'lift'))} lift that the plan looks for."
    ),
    "guardrail_harmed": lambda p: f"{_arm(p)} harms {humanised(str(p['metric']))} by more than the plan tolerates.",
    "control_missing": lambda p: (
        f"The control {quoted(str(p['control']))} has no data, so there is nothing to compare with."
    ),
    "one_arm": lambda _: "There is only one arm, so there is nothing to compare.",
    "no_denominator": lambda p: f"{_arm(p)} was never shown, so it has no rate.",
    "tie": _tie,
}
"""Sentences by reason code: exactly the codes a verdict may carry."""


def reason(code: str, parameters: Parameters) -> str:
    """The sentence for one reason of a verdict.

    Raises:
        ReportError: for a code without words, or a parameter that the sentence needs and did not get.
    """
    if code not in REASONS:
        raise ReportError(f"there are no words for the verdict reason {code!r}; add them to reports/words.py")
    try:
        return REASONS[code](parameters)
    except KeyError as missing:
        raise ReportError(f"the verdict reason {code!r} needs the parameter {missing}") from None


# --- verdicts ---------------------------------------------------------------------------------------------------------

VERDICTS: Mapping[str, str] = {
    "promote": "Winner found",
    "keep_running": "Still running",
    "no_winner": "No winner",
    "invalid": "Not valid",
}
"""The short word by the verdict's kind."""

HALTED: Mapping[str, str] = {"paused": "paused", "concluded": "stopped", "archived": "stopped"}
"""By phase, what has become of an experiment whose last verdict, or none, would have it run on."""

WITHDRAWN = ("rolled_back", "archived")
"""Phases in which the audience sees the control again, whatever the verdict found."""

STANDINGS: Mapping[str, str] = {
    **VERDICTS,
    "paused": "Paused",
    "stopped": "Stopped early",
    "rolled_back": "Rolled back",
    "archived": "Archived",
}
"""The short word by where the experiment stands."""

PHASES: Mapping[str, str] = {
    "draft": "This experiment is a draft and has not started.",
    "generating": "The variants are being made; nothing has been shown yet.",
    "review": "The variants wait for review; nothing has been shown yet.",
    "paused": "Paused before there was anything to judge.",
    "concluded": "Stopped before there was anything to judge.",
    "archived": "Stopped before there was anything to judge.",
}
"""What there is to say before the first verdict."""


def verdict_label(kind: str | None) -> str:
    """``Winner found``, ``Still running`` ...; ``Not judged yet`` where there is no verdict."""
    if kind is None:
        return "Not judged yet"
    if kind not in VERDICTS:
        raise ReportError(f"there is no verdict {kind!r}; a verdict is one of {', '.join(VERDICTS)}")
    return VERDICTS[kind]


def standing(experiment: ExperimentReport) -> str | None:
    """The verdict's kind; ``paused`` or ``stopped`` where it only says to go on, and the experiment does not;
    ``rolled_back`` or ``archived`` where its winner is not shown any more."""
    kind = experiment.verdict.kind if experiment.verdict else None
    if kind == "promote" and experiment.phase in WITHDRAWN:
        return experiment.phase
    return HALTED.get(experiment.phase, kind) if kind in (None, "keep_running") else kind


def standing_label(experiment: ExperimentReport) -> str:
    """``Winner found``, ``Still running``, ``Rolled back`` ..."""
    where = standing(experiment)
    return STANDINGS.get(where or "") or verdict_label(where)


def gain(experiment: ExperimentReport, lift: LiftRow) -> str:
    """``18.2 % more clicks per impression than the original``."""
    share = lift.relative
    value = share if numbers.known(share) else lift.absolute
    if not numbers.known(value):
        return "a difference that cannot be computed yet"
    size = numbers.change(abs(value)) if numbers.known(share) else measures.difference(experiment.metric, abs(value))
    what = measures.per(experiment.metric, experiment.method.unit)
    than = quoted(control_of(experiment), control_of(experiment))
    return f"{size} {'more' if value >= 0 else 'less' if what.startswith('revenue') else 'fewer'} {what} than {than}"


def proof(experiment: ExperimentReport, lift: LiftRow) -> str:
    """``95 % interval 7.1 % to 30.4 %, p = 0.002 after correction for 4 styles and 3 looks``."""
    parts = []
    relative = (lift.relative_low, lift.relative_high)
    absolute = (lift.absolute_low, lift.absolute_high)
    level = numbers.limit(1 - experiment.method.alpha)
    if all(map(numbers.known, relative)):
        parts.append(f"{level} interval {numbers.change(relative[0])} to {numbers.change(relative[1])}")
    elif all(map(numbers.known, absolute)):
        low, high = (measures.difference(experiment.metric, bound) for bound in absolute)
        parts.append(f"{level} interval {low} to {high}")
    if numbers.known(lift.p_adjusted):
        styles = number_of(len(experiment.lifts), "style")
        looks = number_of(experiment.looks, "look")
        parts.append(f"{numbers.p_phrase(lift.p_adjusted)} after correction for {styles} and {looks}")
    return ", ".join(parts)


def control_of(experiment: ExperimentReport) -> str:
    """The control's name; ``original`` before there are arms."""
    return next((arm.name for arm in experiment.arms if arm.control), "original")


def leader(experiment: ExperimentReport) -> LiftRow | None:
    """The lift that is furthest in the direction the metric wants; None where nothing can be compared."""
    sign = -1 if experiment.metric.direction == "decrease" else 1
    comparable = [(sign * lift.absolute, lift) for lift in experiment.lifts if numbers.known(lift.absolute)]
    return max(comparable, key=lambda pair: pair[0], default=(0.0, None))[1]


def headline(experiment: ExperimentReport) -> str:
    """The verdict, or what has become of its winner since, as one plain sentence."""
    verdict, lead = experiment.verdict, leader(experiment)
    if verdict is None:
        return PHASES.get(experiment.phase, "There is nothing to judge yet.")
    verdict_label(verdict.kind)
    than = quoted(control_of(experiment), control_of(experiment))
    if verdict.kind == "promote":
        won = next((lift for lift in experiment.lifts if lift.arm == verdict.arm), None)
        if won is None:
            raise ReportError(f"{experiment.name}: the winner {verdict.arm!r} is not among the arms compared")
        at = _on(experiment.decision.at)
        match standing(experiment):
            case "rolled_back":
                return f"{quoted(won.arm)} was rolled back{at}: the audience sees {than} again."
            case "archived":
                return f"Archived{at}: the audience sees {than}, though {quoted(won.arm)} had won."
        return f"{quoted(won.arm)} wins: {gain(experiment, won)}."
    if verdict.kind == "invalid":
        return "No verdict: these figures cannot be trusted as they are."
    if verdict.kind == "no_winner":
        return f"No style proved better than {than}."
    opening = {
        "paused": "Paused, and too early to say", "stopped": "Stopped before it was settled"
    }.get(standing(experiment) or "", "Too early to say")  # fmt: skip
    if lead is None or lead.absolute is None:
        return f"{opening}: there is nothing to compare yet."
    sign = -1 if experiment.metric.direction == "decrease" else 1
    if sign * lead.absolute <= 0:
        return f"{opening}: so far no style is ahead of {than}."
    return f"{opening}: {quoted(lead.arm)} leads with {gain(experiment, lead)}, which may still be chance."


def detail(experiment: ExperimentReport) -> str:
    """The interval and p-value behind the headline, as a sentence; empty where there is none to give."""
    verdict, lead = experiment.verdict, leader(experiment)
    if verdict is None or verdict.kind == "invalid" or lead is None:
        return ""
    shown = next((lift for lift in experiment.lifts if lift.arm == verdict.arm), lead)
    support = proof(experiment, shown)
    if not support:
        return ""
    if standing(experiment) in WITHDRAWN:
        return f"It had won with {gain(experiment, shown)} ({support})."
    support = support[0].upper() + support[1:]
    if verdict.kind == "no_winner":
        return f"The closest, {quoted(shown.arm)}, had {gain(experiment, shown)}. {support}."
    return f"{support}."


def verdict_sentence(experiment: ExperimentReport) -> str:
    """Headline and figures as text, for a program or a terminal."""
    verdict = experiment.verdict
    text = headline(experiment)
    if standing(experiment) in WITHDRAWN:
        return f"{text} {detail(experiment)}".rstrip()
    if verdict is not None and verdict.kind == "promote":
        lift = next(lift for lift in experiment.lifts if lift.arm == verdict.arm)
        support = proof(experiment, lift)
        return f"{text[:-1]} ({support})." if support else text
    return text


def summary(standings: tuple[str | None, ...]) -> str:
    """The week in one sentence: ``1 experiment found a winner, 2 are still running.``"""
    found = {
        "promote": ("found a winner", "found a winner"),
        "rolled_back": ("had its winner rolled back", "had their winners rolled back"),
        "archived": ("had a winner and was archived", "had winners and were archived"),
        "no_winner": ("ended without a winner", "ended without a winner"),
        "keep_running": ("is still running", "are still running"),
        "paused": ("is paused", "are paused"),
        "stopped": ("was stopped early", "were stopped early"),
        "invalid": ("cannot be judged", "cannot be judged"),
        None: ("is not judged yet", "are not judged yet"),
    }
    parts: list[str] = []
    for kind, (one, many) in found.items():
        count = standings.count(kind)
        if count:
            noun = number_of(count, "experiment") if not parts else numbers.count(count)
            parts.append(f"{noun} {one if count == 1 else many}")
    return f"{', '.join(parts)}." if parts else "No experiments this week."


def differs(view: SegmentView, alpha: float) -> str:
    """Whether any arm's lift depends on the segment."""
    column = humanised(view.column)
    found = [(arm, p) for arm, p in view.differs if p <= alpha]
    if not found:
        smallest = min((p for _, p in view.differs), default=1.0)
        return (
            f"No style's lift differs between the {column} segments by more than chance ({numbers.p_phrase(smallest)})."
        )
    said = "; ".join(f"{quoted(arm)}, {numbers.p_phrase(p)}" for arm, p in found)
    return f"The lift differs between the {column} segments by more than chance: {said}."


# --- decisions --------------------------------------------------------------------------------------------------------


def _on(at: datetime | None) -> str:
    return f" on {numbers.instant(at)}" if at is not None else ""


def _by(actor: str | None) -> str:
    return f" by {actor_name(actor)}" if actor else ""


def actor_name(actor: str) -> str:
    """A person's name as it is; ``job:promote`` is ``the promote job``."""
    return f"the {actor.removeprefix('job:')} job" if actor.startswith("job:") else actor


def decision(experiment: ExperimentReport) -> str:
    """What was done about the verdict, as a plain sentence."""
    made = experiment.decision
    arm = quoted(made.arm) if made.arm else "The winner"
    than = quoted(control_of(experiment), control_of(experiment))
    keeps = "Every style keeps its share of the audience."
    if experiment.method.allocation == "top_two":
        keeps = "At every look the audience is shared out anew, by what each style has shown."
    sentences = {
        "waiting": f"Nothing to decide yet. {keeps}",
        "proposed": f"{arm} is proposed for promotion and waits for a person to approve it. "
        f"Until then the audience sees {than}.",
        "promoted": f"{arm} was promoted{_on(made.at)}{_by(made.actor)}. It is now what the audience sees, apart from "
        f"the {numbers.limit(experiment.method.holdback)} who keep seeing {than} so that the gain stays measured.",
        "rolled_back": f"The promotion of {arm} was rolled back{_on(made.at)}{_by(made.actor)}. "
        f"The audience sees {than} again.",
        "concluded": f"The experiment was concluded{_on(made.at)}{_by(made.actor)}. Nothing was promoted.",
        "stopped": f"The experiment was stopped{_on(made.at)}{_by(made.actor)}. Nothing was promoted.",
        "paused": f"The experiment was paused{_on(made.at)}{_by(made.actor)}. "
        f"Until it goes on, the audience sees {than}.",
        "archived": f"The experiment was archived{_on(made.at)}{_by(made.actor)}. The audience sees {than}.",
        "none": "There is no decision to make.",
    }
    if made.state not in sentences:
        raise ReportError(f"{experiment.name}: there is no decision {made.state!r}; one of {', '.join(sentences)}")
    text = sentences[made.state]
    return text[0].upper() + text[1:]


NEXT_STEPS: Mapping[str, str] = {
    "waiting": "To end it early without promoting anything",
    "paused": "To go on with it",
    "proposed": "To approve the promotion",
}
UNDO_STEPS: Mapping[str, str] = {
    "proposed": "To decline it",
    "promoted": "To undo it, and show the original again",
}


def next_label(state: str) -> str:
    """What stands before the decision's next command."""
    return NEXT_STEPS.get(state, "What can be done next")


def undo_label(state: str) -> str:
    """What stands before the command that undoes the decision."""
    return UNDO_STEPS.get(state, "To undo it")


# --- milestones and rejected lines ------------------------------------------------------------------------------------

MILESTONES: Mapping[str, str] = {
    "created": "Created",
    "generating": "Variants asked for",
    "generated": "Variants made",
    "approved": "Approved",
    "declined": "Declined",
    "started": "Started; the plan was sealed",
    "paused": "Paused",
    "resumed": "Resumed",
    "judged": "Judged",
    "reweighted": "Traffic shared out anew",
    "proposed": "Promotion proposed",
    "concluded": "Concluded",
    "promoted": "Promoted",
    "rolled_back": "Rolled back",
    "stopped": "Stopped without promotion",
    "archived": "Archived",
}


def milestone(row: MilestoneRow) -> str:
    """What happened, with the particulars a reader wants: ``Judged at look 3: winner found, "ink"``."""
    text = MILESTONES.get(row.kind) or humanised(row.kind).capitalize()
    parameters = row.parameters
    if parameters.get("look") is not None:
        text += f" at look {parameters['look']}"
    verdict = VERDICTS.get(str(parameters.get("verdict")), "").lower()
    arm = quoted(str(parameters["arm"])) if parameters.get("arm") else ""
    if verdict or arm:
        text += f": {', '.join(filter(None, (verdict, arm)))}"
    if isinstance(shares := parameters.get("shares"), Mapping) and shares:
        text += f": {', '.join(f'{quoted(arm)} {numbers.percent(share)}' for arm, share in shares.items())}"
    if parameters.get("reason"):
        text += f" ({parameters['reason']})"
    return text


REJECTS: Mapping[str, str] = {
    "ragged_row": "wrong number of columns",
    "whole_row_quoted": "a whole row in one pair of quotes",
    "unknown_event_type": "an event of no kind that the mapping knows",
    "ignored_event_type": "an event of a kind that the mapping leaves out; not kept",
    "bad_timestamp": "a time that cannot be read",
    "naive_timestamp": "a time without a time zone",
    "nonexistent_time": "a local time that the clocks skipped in spring",
    "ambiguous_time": "a local time that the clocks showed twice in autumn",
    "future_timestamp": "a time in the future",
    "missing_event_id": "no event id",
    "missing_unit": "no unit (user or device)",
    "unknown_experiment": "an experiment that does not exist",
    "unknown_arm": "a style that is not in the experiment",
    "unknown_creative": "a creative that trafficking.csv does not name",
    "not_json": "not valid JSON, or nested too deeply",
    "bad_value": "a value that cannot be read",
    "missing_reference": "a click without the impression or unit it belongs to",
    "unterminated_line": "cut off in the middle of a line",
    "not_utf8": "not UTF-8 text",
    "nul_byte": "contains a NUL byte",
    "negative_value": "a negative amount",
    "adjusts_nothing": "a refund, restatement or retraction that does not say of which conversion",
    "unclear_adjustment": "an adjustment that says neither refund, restate nor retract, nor a negative amount",
    "no_rate": "no exchange rate for its currency in rates.csv",
    "unexpanded_macro": "a placeholder the ad server did not fill in",
    "several_days": "a sum over several days",
    "missing_ad": "a count without the ad it is of",
    "missing_count": "no number of impressions",
    "bad_hash": "a hashed unit that is no hash (32 hexadecimal digits)",
    "id_of_a_unit": "an id made of a unit, of which only the hash was kept: deliver the original line again",
    "superseded": "of a file that a newer one of the same hour has replaced (of two of one time, the last to come)",
}


LOST: Mapping[str, str] = {
    "values_not_told_apart": "its values cannot be told apart, so each of them is hashed",
    "cut_off": "its file ended within it",
    "shortened": "only its first 64 KiB are kept",
    "columns_not_kept": "an older version kept it without saying what its columns are",
    "part_of_a_count": "counts are restated whole: deliver the file again",
    "broken_text": "something in it was no text: look at it with --out",
    "judged_before": "good by now: replay once more",
    "forgotten": "no longer kept",
}
"""What else may be said of a rejected line: why it cannot be repaired, or not be judged again as it is."""


IGNORED = "ignored_event_type"
"""Counted with the reasons, but no mistake of anybody's: such lines are not kept."""


def reject_reason(code: str) -> str:
    """Why a line was rejected, in words; an unknown code is spelled out. What follows a colon is the line's own."""
    if code.startswith("no_rate:"):
        return f"no exchange rate for {code.partition(':')[2]} in rates.csv"
    return REJECTS.get(code) or LOST.get(code, humanised(code))


INVALID: Mapping[str, str] = {
    "declared_bot": "by declared bots",
    "not_a_browser": "by programs that are no browser",
    "data_centre": "from data centres",
    "prefetch": "fetched in advance by browsers",
    "zero_size": "in slots without width or height",
    "impossible_rate": "at a rate that no person reaches",
}


def invalid_rule(code: str) -> str:
    """Whose an impression or a click is that is not a person's, after its number."""
    return INVALID.get(code, f"by {humanised(code)}")


def control_style(arm: ArmRow) -> str:
    """The look behind an arm, for a table: ``shown unstyled`` for the original."""
    return "shown unstyled" if arm.style == "original" else arm.style
