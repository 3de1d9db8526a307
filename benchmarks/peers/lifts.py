"""Run among the peers: four metrics of a Parquet file of units to lifts, by tea-tasting, timed from the file on.

python lifts.py FILE pyarrow|pandas < questions
"""

import json
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
from tea_tasting import Experiment, Mean, RatioOfMeans

METRICS = {
    "ctr": RatioOfMeans("clicks", "impressions"),
    "minutes": Mean("minutes", "minutes_before"),
    "conversion": Mean("converted"),
    "revenue": Mean("revenue"),
}
COLUMNS = ["arm", "clicks", "impressions", "minutes", "minutes_before", "converted", "revenue"]


def lifts(path: str, engine: str) -> dict:
    """Seconds, and each metric's relative lift by arm."""
    began = time.perf_counter()
    if engine == "pandas":
        data = pd.read_parquet(path, columns=COLUMNS)
        several = data["arm"].nunique() > 2
    else:
        data = pq.read_table(path, columns=COLUMNS)
        several = len(data["arm"].unique()) > 2
    found = Experiment(METRICS, "arm").analyze(data, control="arm0", all_variants=several)
    results = found if several else {("arm0", "arm1"): found}
    read = {pair[1]: {metric: result[metric].rel_effect_size for metric in METRICS} for pair, result in results.items()}
    return {"seconds": time.perf_counter() - began, "lifts": read}


if __name__ == "__main__":
    json.load(sys.stdin)
    json.dump([lifts(*sys.argv[1:3])], sys.stdout)
