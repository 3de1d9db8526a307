"""Analyse: take the looks that are due, judge them by the sealed plan, conclude or share out anew as it says."""

from datetime import datetime
from typing import Any

from experiments.core.commands import Conclude, Reweight
from experiments.core.lifecycle import Phase
from experiments.core.plan import Rule
from experiments.jobs.context import Context, Progress
from experiments.jobs.ingest import refuse_while_reading
from experiments.jobs.job import Task, tasks_by_experiment
from experiments.store.records import ExperimentRecord

ACTOR = "job:analyse"


class Analyse:
    """One look is one task; the next is due only when this one did not end the experiment."""

    name = "analyse"
    summary = "judge the evidence at every look that is due"
    every_minutes = 60

    def __init__(self, only: str | None = None) -> None:
        self.only = only

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:
        def due(record: ExperimentRecord) -> str | None:
            if self.only not in (None, record.name):
                return None
            if record.damage:
                raise record.damage
            if record.phase is not Phase.RUNNING:
                return None
            plan, _ = context.control.plan(record.name)
            look = context.control.state(record.name).looks_taken + 1
            return f"look-{look}" if look <= plan.looks.count and plan.look_time(look) <= as_of else None

        return tasks_by_experiment(context, self.name, due)

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        from experiments.core.judgement import judge_look
        from experiments.core.traffic import next_shares
        from experiments.core.verdict import Kind, held
        from experiments.events.evidence import gather

        refuse_while_reading(context)
        name, look = task.experiment, int(task.period.removeprefix("look-"))
        plan, plan_hash = context.control.plan(name)
        evidence = gather(context.lake, plan, plan.look_time(look), dealt=context.control.dealings(name))
        earlier = [verdict for verdict in context.control.verdicts(name) if verdict.look < look]
        judgement = judge_look(
            plan, plan_hash, evidence, look,
            information_history=[verdict.information for verdict in earlier],
            held=[verdict.look for verdict in earlier if held(verdict.kind, verdict.reason_codes)],
        )  # fmt: skip
        evidence_id = context.control.record_evidence(evidence)
        verdict = judgement.verdict
        then: Conclude | Reweight | None = None
        if verdict.kind == Kind.PROMOTE:
            then = Conclude(verdict.arm)
        elif verdict.kind == Kind.NO_WINNER or look == plan.looks.count:
            then = Conclude(None)
        elif plan.allocation.rule is Rule.TOP_TWO and verdict.kind == Kind.KEEP_RUNNING and judgement.comparison:
            then = Reweight(next_shares(plan, evidence, context.control.state(name).shares or plan.shares))
        context.control.record_judgement(name, look, plan_hash, evidence_id, judgement, ACTOR, then=then)
        return {"look": look, "verdict": verdict.kind, "arm": verdict.arm}
