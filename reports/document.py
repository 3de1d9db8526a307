"""The report as plain JSON values beside the page: every number in full precision, every sentence, no pictures."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from typing import Any

from reports import numbers, words
from reports.counted import WARNING
from reports.model import ExperimentReport, VariantTile, WeeklyReport

SCHEMA = "adstyle.weekly-report/1"
"""Changes when a key is renamed or removed."""


def report_document(report: WeeklyReport) -> dict[str, Any]:
    """The model as JSON values; the same report gives the same document. Thumbnails are left out."""
    document = {"schema": SCHEMA} | _plain(report)
    for section, experiment in zip(document["sections"], report.sections, strict=True):
        _add_words(section, experiment)
    return document


def _add_words(section: dict[str, Any], experiment: ExperimentReport) -> None:
    section["decision"]["text"] = words.decision(experiment)
    if experiment.counted:
        section["counted_text"] = WARNING
    if section["verdict"] is not None:
        section["verdict"]["text"] = words.verdict_sentence(experiment)
        for reason in section["verdict"]["reasons"]:
            reason["text"] = words.reason(reason["code"], reason["parameters"])


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        kept = (f.name for f in fields(value) if not (isinstance(value, VariantTile) and f.name == "thumbnail"))
        return {name: _plain(getattr(value, name)) for name in kept}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return numbers.utc(value).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
