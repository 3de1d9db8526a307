"""Evidence: what the event lake, at one version, says about an experiment up to one instant."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from experiments.core.statistics.moments import UnitMoments


@dataclass(frozen=True, slots=True)
class DailyCounts:
    """One arm's filtered counts on one UTC day (counts add over days; units do not and are absent on purpose)."""

    day: date
    arm: str
    impressions: int
    clicks: int
    conversions: int


@dataclass(frozen=True, slots=True)
class Health:
    """What was left out of the moments and what is missing, so that a gate or a reader can judge the rest."""

    crossover_units: int
    """Units seen in more than one arm; dropped from every arm."""
    invalid_impressions: Mapping[str, int]
    """Impressions by declared bots, by arm; dropped."""
    invalid_clicks: Mapping[str, int]
    repeated_clicks: int
    """Clicks after the first on the same impression; dropped."""
    unmatched_clicks: int
    """Clicks in the window that belong to no impression of any experiment."""
    days_expected: int
    """Whole UTC days from the start to ``as_of``."""
    days_covered: int
    """Of those, days with at least one impression."""
    last_event: datetime | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Additive moments per arm, and the state of the lake they were taken from."""

    experiment: str
    as_of: datetime
    """Exclusive upper bound on event time, UTC."""
    lake_versions: Mapping[str, int]
    arms: Mapping[str, UnitMoments]
    daily: tuple[DailyCounts, ...]
    health: Health
