"""Real series of looks, beside the checkout: what peeking finds and loses again, and what scheduled looks find."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from experiments.core.statistics.dunnett import two_sided
from experiments.core.statistics.sequential import Looks, boundary

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
SERIES = DATA / "asos_dev.csv.gz"
LOOKS = 10
LEVEL = 0.05
CRITICAL = np.array([-ndtri(LEVEL / 2)])
OURS = (73, 8)
"""Series called at some look, and those of them that are no longer significant at the end; some effects truly fade."""

pytestmark = pytest.mark.skipif(not SERIES.is_file(), reason=f"the real series of looks are not here ({SERIES})")


@pytest.fixture(scope="module")
def series():
    """Each series' z and information at every snapshot, in order of time."""
    rows = pd.read_csv(SERIES).sort_values("time_since_start")
    variance = rows.variance_c / rows.count_c + rows.variance_t / rows.count_t
    rows = rows.assign(z=(rows.mean_t - rows.mean_c) / np.sqrt(variance), known=1 / variance)
    groups = rows.groupby(["experiment_id", "variant_id", "metric_id"])
    return [(each.z.to_numpy(), each.known.to_numpy()) for each in (whole.dropna() for _, whole in groups)]


def called_at_a_look(z, known):
    """Judged ten times, evenly over the series, as the default plan would: O'Brien-Fleming by the calendar."""
    if not len(z):
        return False  # nothing but gaps
    at = np.unique(np.linspace(0, len(z), min(LOOKS, len(z)) + 1).round().astype(int)[1:] - 1)
    calendar = tuple((number + 1) / len(at) for number in range(len(at)))
    grown = np.maximum.accumulate(known[at]) * (1 + 1e-6 * np.arange(len(at)))
    for look in range(1, len(at) + 1):
        seen = abs(z[at[look - 1]])
        if seen < CRITICAL[0]:  # no boundary lies below that of a single look
            continue
        information = tuple(grown[:look] / grown[look - 1] * calendar[look - 1])
        if seen >= boundary(CRITICAL, Looks(look, len(at), information, calendar[:look]))[0]:
            return True
    return False


def test_peeking_finds_what_fades_and_scheduled_looks_less_of_it(series):
    expected = json.loads((DATA / "answers_dev.json").read_text())["asos_dev.csv.gz"]
    assert len(series) == expected["series"]
    p = [two_sided(z) for z, _ in series]
    ever = np.array([(each < LEVEL).any() for each in p])
    at_end = np.array([len(each) > 0 and each[-1] < LEVEL for each in p])
    assert ever.sum() == expected["series_ever_raw_p_lt_0_05_at_some_look"] == 122
    assert at_end.sum() == expected["series_raw_p_lt_0_05_at_end"] == 65
    assert (ever & ~at_end).sum() == expected["ever_but_not_at_end"] == 57
    ours = np.array([called_at_a_look(z, known) for z, known in series])
    assert not (ours & ~ever).any(), "what is called is significant at that snapshot"
    assert (ours.sum(), (ours & ~at_end).sum()) == OURS
