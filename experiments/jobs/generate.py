"""Generate: an experiment's creatives, rendered, gated and put before a person."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

from experiments.core.commands import FinishGeneration
from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Phase
from experiments.jobs.context import Context, Progress
from experiments.jobs.job import Task

if TYPE_CHECKING:
    from creatives.packs import Look

ACTOR = "job:generate"
PERIOD = "creatives"
WORKERS = min(os.cpu_count() or 1, 4)
"""Looks rendered at once: numpy and Pillow release the interpreter, and each needs some 150 MB."""
OVERVIEW = "overview.webp"
"""Beside the variants: all of them on one sheet, for the person who reviews."""


class CreativesChanged(ExperimentError):
    """What would be approved or served is not what was rendered."""


def refuse_changed(context: Context, name: str, looks: "Mapping[str, Look]") -> None:
    """To be asked before a yes, and before the start: every file is as it was rendered, and its look is the same still.

    Raises:
        CreativesChanged: for the first that is not. Declined arms are not asked for.
    """
    again = f"run adstyle experiment generate {name}, and review it again"
    declined = context.control.state(name).declined_arms
    folder = context.workspace.folder("variants") / name
    for variant in context.control.variants(name):
        if variant.arm in declined:
            continue
        path = folder / variant.file_name
        if not path.is_file():
            raise CreativesChanged(f"{path} is not there any more: {again}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != variant.sha256:
            raise CreativesChanged(f"{path} was changed since it was rendered: {again}")
        if variant.provenance["style"] != looks[variant.arm].identity:
            raise CreativesChanged(f"{path} was rendered before the pack {variant.arm!r} was changed: {again}")


class Generate:
    """Renders every arm in every slot of the experiments that asked for creatives."""

    name = "generate"
    summary = "render the creatives of experiments that are generating"
    every_minutes = 1

    def __init__(self, only: str | None = None) -> None:
        self.only = only

    def plan(self, context: Context, as_of: datetime) -> tuple[Task, ...]:  # noqa: ARG002 - due as soon as asked for
        return tuple(
            Task(self.name, record.name, PERIOD)
            for record in context.control.experiments()
            if record.phase is Phase.GENERATING and self.only in (None, record.name)
        )

    def act(self, context: Context, task: Task, as_of: datetime, progress: Progress) -> dict[str, Any]:  # noqa: ARG002
        from creatives.briefs import load_brief  # what touches pictures is loaded where there are any to make
        from creatives.overview import write_overview
        from creatives.render import plan_render, render
        from creatives.slots import find_slots
        from experiments.documents import restore_experiment

        name = task.experiment
        document = restore_experiment(context.control.experiment(name).document)
        brief = load_brief(context.workspace.folder("briefs") / f"{document.brief}.yaml")
        looks = document.looks_of(context.library)
        folder = context.workspace.folder("variants") / name
        with ThreadPoolExecutor(WORKERS) as executor:
            rendered = render(
                plan_render(brief, looks, find_slots(document.slots or brief.slots)),
                out=folder,
                executor=executor,
                progress=lambda done, of: progress(f"rendering {name}", done, of),
            )
        refused = {
            variant.arm: "quality gate: " + ", ".join(str(finding) for finding in variant.gate.findings)
            for variant in rendered
            if not variant.gate.ok
        }
        arms = {arm: [variant.path for variant in rendered if variant.arm == arm] for arm in looks}
        write_overview(arms, folder / OVERVIEW)
        context.control.save_variants(name, rendered)
        context.control.execute(name, FinishGeneration(len(rendered), tuple(sorted(refused))), ACTOR)
        return {"variants": len(rendered), "declined": refused}
