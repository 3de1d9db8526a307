"""Every job by name, in the order in which one tick of the bell runs them."""

import difflib
from collections.abc import Mapping

from experiments.core.errors import ExperimentError
from experiments.jobs.analyse import Analyse
from experiments.jobs.generate import Generate
from experiments.jobs.ingest import Ingest
from experiments.jobs.job import Job
from experiments.jobs.promote import PromoteWinners
from experiments.jobs.report import Report
from experiments.jobs.upkeep import Compact, Retain

_IN_ORDER: tuple[Job, ...] = (Generate(), Ingest(), Analyse(), PromoteWinners(), Report(), Compact(), Retain())

JOBS: Mapping[str, Job] = {job.name: job for job in _IN_ORDER}


def jobs_named(name: str) -> tuple[Job, ...]:
    """One job, or all of them in order."""
    if name == "all":
        return tuple(JOBS.values())
    if name in JOBS:
        return (JOBS[name],)
    near = difflib.get_close_matches(name, (*JOBS, "all"), n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(JOBS)} and all"
    raise ExperimentError(f"there is no job {name!r}: {advice}")
