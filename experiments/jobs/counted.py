"""What ad platforms counted of an experiment, for its page: shown beside the evidence and never part of it."""

from datetime import datetime, timedelta

from creatives.errors import CreativeError
from experiments.core.errors import ExperimentError
from experiments.core.plan import Plan
from experiments.events.counts import PlatformCounts, platform_counts
from experiments.ingest.feed import OWN, feeds
from experiments.jobs.context import Context
from reports.model import CountedRow

_INSTANT = timedelta(microseconds=1)


def counted_rows(context: Context, plan: Plan, until: datetime) -> tuple[tuple[CountedRow, ...], int | None]:
    """Rows by source, arms as planned, of the days from the start to ``until``; and the version they were read from.

    Neither where nothing was counted.
    """
    version = context.lake.begin("counts").version
    days = plan.start.date(), (until - _INSTANT).date()
    found = platform_counts(context.lake, plan.experiment, *days, version) if version else ()
    if not found:
        return (), None
    places, titles = {arm: place for place, arm in enumerate(plan.weights)}, _titles(context)
    ordered = sorted(found, key=lambda each: (each.source, places.get(each.arm, len(places)), each.arm))
    return tuple(_row(each, titles.get(each.source, each.source)) for each in ordered), version


def _row(found: PlatformCounts, source: str) -> CountedRow:
    return CountedRow(
        source=source,
        arm=found.arm,
        first=found.first,
        last=found.last,
        days=found.days,
        impressions=found.impressions,
        clicks=found.clicks,
        rate=found.clicks / found.impressions if found.impressions else None,
        conversions=found.conversions,
        value=tuple(found.value_micros.items()),
        spend=tuple(found.spend_micros.items()),
    )


def _titles(context: Context) -> dict[str, str]:
    """What people call the sources; their own names where a mapping cannot be read, which is no reason for no page."""
    try:
        titles = {name: feed.title for name, feed in feeds(context.workspace.folder("feeds")).items()}
    except (ExperimentError, CreativeError):
        titles = {}
    return titles | {OWN: ""}
