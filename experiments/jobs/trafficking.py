"""An experiment's advertisements as they go to an ad server, with a sheet that comes back as ``trafficking.csv``.

The sheet has a row for each creative. When the ad server has taken it in, its number goes into ``value``, and the sheet
says which creative is which arm (`ingest.feed.read_trafficking`).
"""

import csv
import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from creatives.briefs import load_brief
from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Phase, allocation
from experiments.documents import ExperimentDocument, restore_experiment
from experiments.ingest.feed import SHEET, TRAFFICKING
from experiments.jobs.context import Context
from experiments.jobs.generate import refuse_changed
from experiments.store.records import VariantRecord

SHEET_NAME = "trafficking.csv"


def export_trafficking(context: Context, experiment: str, column: str, out: Path) -> tuple[VariantRecord, ...]:
    """Copy what may be served into the folder, and write the sheet beside it; gives the advertisements.

    Args:
        context: the workspace's stores.
        experiment: its name.
        column: of the ad server's logs, in which its numbers of creatives are, or nothing where that is not known yet.
        out: made where it is missing. The sheet of another export is not replaced: numbers may stand in it.

    Raises:
        Unknown: for an experiment that does not exist.
        CreativesChanged: where a file is not what was approved.
        ExperimentError: where there is nothing to be served (yet), or a sheet already.
    """
    document = restore_experiment(context.control.experiment(experiment).document)
    served = _served(context, experiment, document)
    sheet = out / SHEET_NAME
    if os.path.lexists(sheet):
        raise ExperimentError(f"{sheet} is already there, and numbers may stand in it: give another --out")
    brief = load_brief(context.workspace.folder("briefs") / f"{document.brief}.yaml")
    shares = _shares(context, experiment, document)
    text = io.StringIO()
    writer = csv.DictWriter(text, (*TRAFFICKING, *SHEET), lineterminator="\n")
    writer.writeheader()
    for variant in served:
        writer.writerow(
            {
                "column": column, "value": "", "experiment": experiment, "arm": variant.arm,
                "share": f"{shares.get(variant.arm, 0):.6g}", "slot": variant.slot, "width": variant.width,
                "height": variant.height, "file": variant.file_name, "bytes": variant.bytes, "sha256": variant.sha256,
                "landing_url": brief.landing_url,
            }
        )  # fmt: skip
    folder = context.workspace.folder("variants") / experiment
    out.mkdir(parents=True, exist_ok=True)
    for variant in served:
        shutil.copyfile(folder / variant.file_name, out / variant.file_name)
    with sheet.open("x", encoding="utf-8") as file:
        file.write(text.getvalue())
    return served


def _served(context: Context, experiment: str, document: ExperimentDocument) -> tuple[VariantRecord, ...]:
    """What has been approved, as it was rendered."""
    state = context.control.state(experiment)
    if state.phase in (Phase.DRAFT, Phase.GENERATING):
        raise ExperimentError(f"{experiment} has no creatives yet: adstyle experiment generate {experiment}")
    if document.review and not state.approved:
        raise ExperimentError(f"{experiment}'s creatives are not approved yet: adstyle experiment review {experiment}")
    if state.phase is Phase.ARCHIVED:
        raise ExperimentError(f"{experiment} is archived, and nothing of it is served any more")
    refuse_changed(context, experiment, document.looks_of(context.library))
    return tuple(each for each in context.control.variants(experiment) if each.arm not in state.declined_arms)


def _shares(context: Context, experiment: str, document: ExperimentDocument) -> Mapping[str, float]:
    """What share of the units each arm is dealt now or, before the start, from then on; the shares add up to 1."""
    state = context.control.state(experiment)
    if state.phase is Phase.REVIEW:
        arms = set(document.looks_of(context.library)) - set(state.declined_arms)
        weights: Mapping[str, float] = {arm: document.weights.get(arm, 1.0) for arm in sorted(arms)}
    else:
        plan, _ = context.control.plan(experiment)
        weights = allocation(state, plan.weights, plan.control, plan.holdback)
    whole = sum(weights.values())
    return {arm: weight / whole for arm, weight in weights.items()}
