"""What a look was judged by, as tables and a document for other tools: an audit needs nothing of ours to read them."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Evidence
from experiments.core.statistics.moments import OUTCOMES, PRODUCTS, UNITS, UnitMoments
from experiments.jobs.context import Context
from experiments.store.codec import evidence_document, plain
from experiments.store.records import VerdictRecord

_OF = ("since", "until", "column", "segment", "arm", "scope")
"""Whose moments a row has: all units or, where ``scope`` is ``mature``, those of whom nothing more can come; where
``column`` is not empty, those of a segment; where ``since`` is not, those first shown between two changes of shares."""
MOMENTS = (*_OF, UNITS, *OUTCOMES, *(f"{left}*{right}" for left, right in PRODUCTS))
"""Columns: units, and over them the sums of each outcome and of each product of two."""
DAILY = ("day", "arm", "impressions", "clicks", "conversions", "by_click")
"""Columns: counts of each UTC day; ``by_click`` is empty where the plan does not tell clicks from views."""


def export_look(context: Context, experiment: str, look: int | None, out: Path) -> tuple[Path, ...]:
    """Write the evidence of a look, by default of the last: the document, the moments and the daily counts.

    Files of these names are replaced, each whole or not at all.

    Raises:
        Unknown: for an experiment that does not exist.
        ExperimentError: where that look was not taken.
    """
    verdict = _verdict(context, experiment, look)
    plan, plan_hash = context.control.plan(experiment)
    evidence = context.control.evidence(verdict.evidence_id)
    document = {
        "experiment": experiment,
        "look": verdict.look,
        "as_of": evidence.as_of.isoformat(),
        "lake_versions": plain(evidence.lake_versions),
        "plan_hash": plan_hash,
        "plan": plain(plan.document()),
        "evidence": evidence_document(evidence),
        "judged_at": verdict.at.isoformat(),
        "judgement": plain(verdict.document),
    }
    begin = out / f"{experiment}-look-{verdict.look}"
    texts = {
        Path(f"{begin}.json"): json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        Path(f"{begin}-moments.csv"): _csv(MOMENTS, moments_rows(evidence)),
        Path(f"{begin}-daily.csv"): _csv(DAILY, (plain(asdict(day)) for day in evidence.daily)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        _write(path, text)
    return tuple(texts)


def moments_rows(evidence: Evidence) -> Iterator[Mapping[str, Any]]:
    """Every arm's moments, then those of each segment, then those of each batch."""
    yield from _rows_of({}, evidence.arms, evidence.mature or {})
    for each in evidence.segments:
        of = {"column": each.column, "segment": each.segment}
        yield from _rows_of(of, {each.arm: each.moments}, {each.arm: each.mature})
    for batch in evidence.batches:
        yield from _rows_of(
            {"since": batch.since.isoformat(), "until": batch.until.isoformat()}, batch.arms, batch.mature
        )


def _rows_of(
    of: Mapping[str, str], arms: Mapping[str, UnitMoments], mature: Mapping[str, UnitMoments]
) -> Iterator[Mapping[str, Any]]:
    for scope, by_arm in (("all", arms), ("mature", mature)):
        for arm, moments in by_arm.items():
            numbers = (moments.units, *moments.sums, *moments.products)
            yield {**of, "arm": arm, "scope": scope, **dict(zip(MOMENTS[len(_OF) :], numbers, strict=True))}


def _verdict(context: Context, experiment: str, look: int | None) -> VerdictRecord:
    taken = {verdict.look: verdict for verdict in context.control.verdicts(experiment)}
    if not taken:
        raise ExperimentError(f"no look was taken at {experiment} yet, and evidence is what a look is judged by")
    if look is None:
        return taken[max(taken)]
    if look not in taken:
        raise ExperimentError(f"look {look} was not taken at {experiment}: there are {', '.join(map(str, taken))}")
    return taken[look]


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
