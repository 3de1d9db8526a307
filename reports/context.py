"""From the model to what the templates print: values formatted, sentences written, nothing left to compute."""

import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from reports import charts, evidence, gallery, health, measures, numbers, words
from reports.counted import counted
from reports.method import method
from reports.model import ExperimentReport, MilestoneRow, SegmentView, VariantTile, WeeklyReport
from reports.standings import board

Progress = Callable[[int, int], None]
"""Called with how many experiments are ready to be printed, charts and all, and how many there are."""
QUOTED = re.compile(r'"([^"]*)"')

TONES = {"promote": "good", "invalid": "bad"}
"""The colour by where an experiment stands; all else is calm."""


def silent(_done: int, _of: int) -> None:
    """Progress for whoever does not watch."""


def page_context(report: WeeklyReport, progress: Progress = silent) -> dict[str, Any]:
    """Everything the page says, without its pictures."""
    year, week = report.week.split("-W")
    sections, of = list[dict[str, Any]](), len(report.sections)
    for position, section in enumerate(report.sections, start=1):
        progress(position - 1, of)
        sections.append(_experiment(section, position))
    progress(of, of)
    return {
        "workspace": report.workspace,
        "week": str(int(week)),
        "year": year,
        "days": numbers.days(report.start, report.end),
        "as_of": numbers.instant(report.as_of),
        "summary": words.summary(tuple(words.standing(section) for section in report.sections)),
        "sections": sections,
        "boards": [_typeset_board(board(each)) for each in report.leaderboard],
    }


def _typeset_board(said: dict[str, Any]) -> dict[str, Any]:
    texts = {key: typeset(said[key]) for key in ("title", "better")}
    return said | texts | {"proposals": [each | {"why": typeset(each["why"])} for each in said["proposals"]]}


def typeset(sentence: str) -> str:
    """A sentence with the quotation marks of print; commands and names keep their own."""
    return QUOTED.sub("\N{LEFT DOUBLE QUOTATION MARK}\\1\N{RIGHT DOUBLE QUOTATION MARK}", sentence)


def anchor(name: str, position: int) -> str:
    """An id that no other experiment of the page has, for any name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"e{position}-{slug}" if slug else f"e{position}"


def _experiment(experiment: ExperimentReport, position: int) -> dict[str, Any]:
    here, stands = anchor(experiment.name, position), words.standing(experiment)
    verdict = experiment.verdict
    winner = verdict.arm if verdict else None
    lead = next((lift for lift in experiment.lifts if lift.arm == winner), words.leader(experiment))
    control = words.control_of(experiment)
    return {
        "anchor": here,
        "position": f"{position:02d}",
        "name": experiment.name,
        "title": experiment.title,
        "owner": list(filter(None, (experiment.advertiser, experiment.campaign))),
        "tone": TONES.get(stands or "", "calm"),
        "label": words.standing_label(experiment),
        "winner_tag": "winner" if stands == "promote" else "had won",
        "headline": typeset(words.headline(experiment)),
        "detail": typeset(words.detail(experiment)),
        "reasons": _reasons(experiment),
        "figures": [
            figure | {"label": typeset(figure["label"])} for figure in evidence.figures(experiment, lead, control)
        ],
        "heroes": [_tile(tile) | {"winner": tile.arm == winner} for tile in heroes(experiment)],
        "decision": _decision(experiment),
        "evidence": _evidence(experiment, control),
        "charts": _charts(experiment, here),
        "health": _health(experiment),
        "gallery": [
            {"arm": arm, "style": tiles[0].style, "winner": arm == winner, "tiles": [_tile(tile) for tile in tiles]}
            for arm, tiles in gallery.by_arm(experiment.gallery).items()
        ],
        "segments": [_segments(experiment, view) for view in experiment.segments],
        "counted": counted(experiment),
        "timeline": [_milestone(row) for row in experiment.timeline],
        "method": [{"term": term, "text": typeset(text)} for term, text in method(experiment)],
    }


def _reasons(experiment: ExperimentReport) -> list[str]:
    """The reasons as sentences, without the one that the headline and its figures have just given, and without the
    hope for a next look where there is none."""
    reasons = experiment.verdict.reasons if experiment.verdict else ()
    said = ("beats_control",) if words.detail(experiment) else ()
    past = ("wait_next_look",) if words.standing(experiment) == "stopped" else ()
    return [typeset(words.reason(row.code, row.parameters)) for row in reasons if row.code not in said + past]


def heroes(experiment: ExperimentReport) -> tuple[VariantTile, ...]:
    """The original and the winner side by side, each in its squarest slot; nothing without a winner."""
    winner = experiment.verdict.arm if experiment.verdict else None
    if winner is None:
        return ()
    groups = gallery.by_arm(experiment.gallery)
    pair = [groups[arm] for arm in (words.control_of(experiment), winner) if arm in groups]
    return tuple(min(tiles, key=lambda tile: abs(tile.width / tile.height - 1)) for tiles in pair)


def _tile(tile: VariantTile) -> dict[str, Any]:
    return {
        "arm": tile.arm,
        "file_name": tile.file_name,
        "alt": tile.alt,
        "width": tile.width,
        "height": tile.height,
        "slot": f"{tile.width} × {tile.height}",
        "weight": numbers.size(tile.weight),
    }


def _decision(experiment: ExperimentReport) -> dict[str, Any]:
    made = experiment.decision
    steps = (
        (words.next_label(made.state), made.next_command),
        (words.undo_label(made.state), made.undo_command),
    )
    return {
        "sentence": typeset(words.decision(experiment)),
        "steps": [{"label": label, "command": command} for label, command in steps if command],
    }


def _evidence(experiment: ExperimentReport, control: str) -> dict[str, Any]:
    metric, unit = experiment.metric, experiment.method.unit
    return {
        "caution": words.standing(experiment) == "invalid",
        "look": numbers.count(experiment.look),
        "metric": measures.title(metric, unit),
        "numerator": measures.numerator(metric).capitalize(),
        "denominator": f"{measures.denominator(metric, unit)}s".capitalize(),
        "by_units": metric.denominator == "units",
        "units": f"{unit}s".capitalize(),
        "level": numbers.limit(1 - experiment.method.alpha),
        "control": typeset(words.quoted(control, control)),
        "arms": evidence.arms_table(experiment),
        "lifts": evidence.lifts_table(experiment),
        "guardrails": evidence.guardrails_table(experiment),
        "secondary": evidence.secondary_table(experiment),
        "expects": any(lift.expected is not None for lift in experiment.lifts),
    }


def _segments(experiment: ExperimentReport, view: SegmentView) -> dict[str, Any]:
    table = evidence.segments_table(experiment, view)
    return table | {"differs": typeset(table["differs"])}


def _charts(experiment: ExperimentReport, here: str) -> list[dict[str, Any]]:
    rate = charts.rate_chart(experiment, f"{here}-rate")
    lift = charts.lift_chart(experiment, f"{here}-lift")
    drawn: list[dict[str, Any]] = []
    if rate:
        drawn.append(
            {
                "id": "rate",
                "title": "Click rate to date",
                "caption": "All clicks over all impressions since the start. Lines settle as the audience grows.",
                "wide": Markup(rate.wide),  # noqa: S704 - drawn and escaped by svg.inline
                "narrow": Markup(rate.narrow),  # noqa: S704
                "table": evidence.rates_by_day(experiment),
            }
        )
    if lift:
        drawn.append(
            {
                "id": "lift",
                "title": "Lift at each look",
                "caption": "Each style against the control, with its interval corrected for all styles and looks. "
                "A bar that crosses zero may be chance; an arrow means the bar goes on.",
                "wide": Markup(lift.wide),  # noqa: S704
                "narrow": Markup(lift.narrow),  # noqa: S704
                "table": evidence.lifts_by_look(experiment),
            }
        )
    return drawn


def _health(experiment: ExperimentReport) -> dict[str, Any]:
    facts = experiment.health
    files = health.shown(facts.deliveries)
    return {
        "checks": [
            {
                "state": check.state,
                "word": health.STATES[check.state],
                "title": check.title,
                "text": typeset(check.text),
            }
            for check in health.checks(experiment)
        ],
        "units": [
            {
                "name": row.arm,
                "expected": numbers.count(row.expected),
                "observed": numbers.count(row.observed),
                "difference": numbers.signed(numbers.count(row.observed - round(row.expected))),
            }
            for row in facts.units
        ],
        "files": [
            {
                "name": row.name,
                "kind": f"{row.kind}s",
                "read": numbers.count(row.read),
                "accepted": numbers.count(row.accepted),
                "duplicate": numbers.count(row.duplicate),
                "rejected": numbers.count(sum(count for _, count in row.rejected)),
                "why": "replaced by a newer file" if row.replaced else health.rejects((row,)),
            }
            for row in files
        ],
        "files_left_out": numbers.count(len(facts.deliveries) - len(files))
        if len(files) < len(facts.deliveries)
        else "",
        "rejects": health.rejects(facts.deliveries),
    }


def _milestone(row: MilestoneRow) -> dict[str, str]:
    return {
        "at": numbers.instant(row.at),
        "iso": numbers.utc(row.at).isoformat(),
        "text": typeset(words.milestone(row)),
        "actor": words.actor_name(row.actor),
    }
