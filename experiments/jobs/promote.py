"""Promote: give a concluded experiment's winner to everyone, or propose it to a person, as the plan says."""

from datetime import datetime
from typing import Any

from experiments.core.commands import Promote, ProposePromotion
from experiments.core.lifecycle import Phase
from experiments.core.plan import Promotion
from experiments.jobs.context import Context, Progress
from experiments.jobs.job import Task, tasks_by_experiment
from experiments.store.records import ExperimentRecord

ACTOR = "job:promote"


class PromoteWinners:
    """Acts once an experiment; a person's rollback is never undone by it."""

    name = "promote"
    summary = "promote winners, or propose them where a person decides"
    every_minutes = 60

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:  # noqa: ARG002 - due as soon as concluded
        def due(record: ExperimentRecord) -> str | None:
            if record.phase is not Phase.CONCLUDED or record.winner is None:
                return None
            state, (plan, _) = context.control.state(record.name), context.control.plan(record.name)
            waits = not state.proposal_answered and (plan.promotion is Promotion.AUTO or not state.proposed)
            return plan.promotion.value if waits else None

        return tasks_by_experiment(context, self.name, due)

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        winner = context.control.state(task.experiment).winner
        automatic = task.period == Promotion.AUTO
        context.control.execute(task.experiment, Promote(winner) if automatic else ProposePromotion(winner), ACTOR)
        return {"arm": winner, "promoted": automatic}
