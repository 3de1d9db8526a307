"""Core values as plain JSON and back, exactly.

Python's JSON keeps integers of any size, which the moments rely on, and both databases keep JSON as written.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from experiments.core.errors import ExperimentError
from experiments.core.evidence import Batch, DailyCounts, Evidence, Health, SegmentMoments
from experiments.core.plan import (
    UNLIMITED,
    Allocation,
    Arm,
    Attribution,
    Direction,
    Gates,
    Looks,
    Metric,
    Plan,
    Promotion,
    Role,
    Rule,
    Stopping,
    Traffic,
)
from experiments.core.statistics.moments import UnitMoments
from experiments.core.statistics.multiplicity import Multiplicity

RESTORE = "restore the database's backup"


class Damaged(ExperimentError):
    """What is kept of an experiment is not what was written. It alone stops, until the backup is restored."""


class PlanTampered(Damaged):
    """A sealed plan's document is not the one that was sealed."""


def read_json(text: str | bytes) -> Any:
    """What `plain` made, as SQLite gives it back, which lets anyone write anything.

    Raises:
        Damaged: where it is no JSON any more.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"a document in the database cannot be read ({error}): restore its backup") from None


def plain(value: Any) -> Any:
    """``value`` as JSON values: dataclasses by their fields, instants in ISO 8601, arrays and tuples as lists.

    A number that does not exist (NaN, an infinite end of an interval) becomes null, because JSON has no word for it.

    Raises:
        TypeError: for anything else.
    """
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | str() | int():
            return value
        case float():
            return float(value) if math.isfinite(value) else None
        case datetime() | date():
            return value.isoformat()
        case PurePath():
            return str(value)
        case Mapping():
            return {str(plain(key)): plain(each) for key, each in value.items()}
        case tuple() | list():
            return [plain(each) for each in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no plain form")


def canonical_sha256(document: Any) -> str:
    """SHA-256 of the one JSON text that plain values have."""
    return hashlib.sha256(canonical_text(document).encode()).hexdigest()


def canonical_text(document: Any) -> str:
    """That text: sorted keys, no spaces."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    """What `restore_evidence` needs beside the experiment, the instant and the lake versions."""
    return {
        "arms": plain(evidence.arms),
        "daily": plain(evidence.daily),
        "health": plain(evidence.health),
        "mature": plain(evidence.mature),
        "segments": plain(evidence.segments),
        **({"batches": plain(evidence.batches)} if evidence.batches else {}),
    }


def restore_evidence(
    experiment: str, as_of: datetime, lake_versions: Mapping[str, int], document: Mapping[str, Any]
) -> Evidence:
    """The evidence as it was; what was not measured yet when it was recorded is absent from it."""
    health = document["health"]
    last = health["last_event"]
    return Evidence(
        experiment=experiment,
        as_of=as_of,
        lake_versions=dict(lake_versions),
        arms=_by_arm(document["arms"]),
        daily=tuple(DailyCounts(**{**day, "day": date.fromisoformat(day["day"])}) for day in document["daily"]),
        health=Health(**{**health, "last_event": datetime.fromisoformat(last) if last else None}),
        mature=_by_arm(document["mature"]) if document.get("mature") is not None else None,
        segments=tuple(
            SegmentMoments(**{**each, "moments": _moments(each["moments"]), "mature": _moments(each["mature"])})
            for each in document.get("segments", ())
        ),
        batches=tuple(_batch(each) for each in document.get("batches", ())),
    )


def _batch(document: Mapping[str, Any]) -> Batch:
    return Batch(
        since=datetime.fromisoformat(document["since"]),
        until=datetime.fromisoformat(document["until"]),
        shares=document["shares"],
        arms=_by_arm(document["arms"]),
        mature=_by_arm(document["mature"]),
        segments=document["segments"],
        invalid_units=document["invalid_units"],
    )


def _by_arm(moments: Mapping[str, Any]) -> dict[str, UnitMoments]:
    return {arm: _moments(each) for arm, each in moments.items()}


def _moments(document: Mapping[str, Any]) -> UnitMoments:
    return UnitMoments(document["units"], tuple(document["sums"]), tuple(document["products"]))


def restore_plan(document: Mapping[str, Any], sealed: str) -> Plan:
    """The plan that was sealed under the hash ``sealed``.

    Raises:
        PlanTampered: where the document gives another hash, or none.
    """
    try:
        plan, seal, found = _checked_plan(canonical_text(document))
    except (AttributeError, KeyError, TypeError, ValueError, ExperimentError) as error:
        raise PlanTampered(f"the plan {sealed[:12]} cannot be read ({error}): restore the database's backup") from None
    if not seal == found == sealed:
        raise PlanTampered(
            f"the plan was changed after it was sealed: {sealed[:12]} was sealed, this is {found[:12]}. "
            "No verdict can rest on it; restore the database's backup"
        )
    return plan


@lru_cache(maxsize=4096)
def _checked_plan(text: str) -> tuple[Plan, str, str]:
    """The plan of a canonical document, its seal and the document's hash: hundreds of plans are asked for again and
    again, and the same text always gives the same."""
    plan = _plan(json.loads(text))
    return plan, plan.seal(), hashlib.sha256(text.encode()).hexdigest()


def _plan(document: Mapping[str, Any]) -> Plan:
    return Plan(
        **{
            **document,
            "arms": tuple(Arm(**arm) for arm in document["arms"]),
            "start": datetime.fromisoformat(document["start"]),
            "metrics": tuple(
                Metric(**{**metric, "direction": Direction(metric["direction"]), "role": Role(metric["role"])})
                for metric in document["metrics"]
            ),
            "looks": Looks(**document["looks"]),
            "attribution": Attribution(**document["attribution"]),
            "gates": Gates.sealed(document["gates"]),
            "promotion": Promotion(document["promotion"]),
            "segments": tuple(document.get("segments", ())),
            "multiplicity": Multiplicity(document.get("multiplicity", Multiplicity.HOLM)),
            "allocation": _allocation(document.get("allocation", {})),
            "stopping": Stopping(**document.get("stopping", {"harm": False})),
            "traffic": Traffic(**document["traffic"]) if "traffic" in document else UNLIMITED,
        }
    )


def _allocation(document: Mapping[str, Any]) -> Allocation:
    return Allocation(**{**document, "rule": Rule(document.get("rule", Rule.FIXED))})
