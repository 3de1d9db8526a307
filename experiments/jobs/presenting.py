"""What programs and status screens are told of experiments: plain documents made from the stores."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from experiments.core.delivery import as_it_stands
from experiments.core.lifecycle import MilestoneKind, allocation
from experiments.jobs.context import Context
from experiments.jobs.job import WHOLE_WORKSPACE, TaskRun
from experiments.jobs.registry import JOBS
from experiments.store.codec import Damaged
from experiments.store.control import PlanNotSealed
from experiments.store.records import ExperimentRecord, Life, VerdictRecord
from reports.words import reason


def _ingested(delivery: Mapping[str, Any]) -> str:
    return (
        f"ingest {delivery['file']}: {delivery['read']:,} read = {delivery['accepted']:,} accepted "
        f"+ {delivery['duplicate']:,} duplicate + {sum(delivery['rejected'].values()):,} rejected"
    )


def task_line(run: TaskRun) -> str:
    """What became of one task, on one line: ``analyse coffee look-2: promote watercolor``."""
    result, task = run.result, run.task
    match run.state, task.job:
        case (("failed" | "later"), _):
            said = f"{run.state} ({run.error})"
        case _, "ingest":
            return "; ".join(_ingested(each) for each in (result, *result.get("kinds", ())))
        case _, "analyse":
            said = " ".join(filter(None, (str(result["verdict"]).replace("_", " "), result["arm"])))
        case _, "promote":
            said = f"{result['arm']} is {'promoted' if result['promoted'] else 'proposed; a person decides'}"
        case _, "report":
            said = result["page"]
        case _, "compact":
            return f"compact {result['table']}: {result['files']:,} files made few, {result['removed']:,} removed"
        case _, "retain":
            gone = f", {result['removed']:,} files removed" if result.get("removed") else ""
            return f"retain {result['table']}: {result['rows']:,} rows from before {result['before']} forgotten{gone}"
        case _, "generate":
            said = f"{result['variants']} variants"
        case _:
            said = run.state
    subject = task.called or " ".join(part for part in (task.experiment, task.period) if part != WHOLE_WORKSPACE)
    return f"{task.job} {subject}: {said}"


def verdict_text(record: VerdictRecord) -> str:
    """All reasons of a verdict, in words."""
    return " ".join(reason(each["code"], each["parameters"]) for each in record.document["verdict"]["reasons"])


def experiment_document(context: Context, name: str) -> dict[str, Any]:
    """One experiment: phase, arms with what is served now, every look with its verdict."""
    state = context.control.state(name)
    document: dict[str, Any] = {
        "experiment": name,
        "phase": str(state.phase),
        "winner": state.winner,
        "proposed": state.proposed,
        "promoted_arm": state.promoted_arm,
        "plan_hash": state.plan_hash,
        "arms": [],
        "looks": [],
        "next_look": None,
    }
    try:
        plan, _ = context.control.plan(name)
    except PlanNotSealed:
        return document
    serving = allocation(state, plan.weights, plan.control, plan.holdback)
    total = sum(serving.values())
    document["arms"] = [
        {"arm": arm.name, "style": arm.style, "weight": arm.weight, "serving": serving.get(arm.name, 0.0) / total}
        for arm in plan.arms
    ]
    verdicts = context.control.verdicts(name)
    document["looks"] = [
        {
            "look": verdict.look,
            "looks": plan.looks.count,
            "at": plan.look_time(verdict.look).isoformat(),
            "text": verdict_text(verdict),
            "judgement": dict(verdict.document),
        }
        for verdict in verdicts
    ]
    if len(verdicts) < plan.looks.count:
        document["next_look"] = plan.look_time(len(verdicts) + 1).isoformat()
    return document


def status_document(context: Context, as_of: datetime) -> dict[str, Any]:
    """Everything one screen shows: experiments, what is due, how deliveries were accounted for."""
    deliveries = as_it_stands(context.deliveries.all())
    counted = [each for each in deliveries if each.replaced_by is None]
    due = [
        {"job": task.job, "experiment": task.experiment, "period": task.period}
        for job in JOBS.values()
        for task in job.plan(context, as_of)
    ]
    return {
        "workspace": context.workspace.name,
        "experiments": _rows(context),
        "due": due,
        "deliveries": {
            "files": len(deliveries),
            "read": sum(each.read for each in counted),
            "accepted": sum(each.accepted for each in counted),
            "duplicate": sum(each.duplicate for each in counted),
            "rejected": sum(sum(each.rejected.values()) for each in counted),
            "replaced": len(deliveries) - len(counted),
        },
    }


def _rows(context: Context) -> list[dict[str, Any]]:
    lives = {record.name: life for record, life in context.control.lives()}
    return [_row(record, lives.get(record.name) or _draft(context, record)) for record in context.control.experiments()]


def _draft(context: Context, record: ExperimentRecord) -> Damaged | None:
    """What is wrong with one that has not started; most often nothing."""
    return record.damage or context.control.damage(record.name)


def _row(record: ExperimentRecord, life: Life | Damaged | None) -> dict[str, Any]:
    damage = life if isinstance(life, Damaged) else None
    told = life if isinstance(life, Life) else None
    judged = [fact.payload for fact in told.history if fact.kind is MilestoneKind.JUDGED] if told else []
    return {
        "experiment": record.name,
        "phase": str(record.phase) if record.phase else None,
        "looks_taken": len(judged),
        "looks": told.plan.looks.count if told else None,
        "verdict": judged[-1]["verdict"] if judged else None,
        "winner": record.winner,
        "proposed": told.state.proposed if told else None,
        "damage": str(damage) if damage else None,
    }
