"""Statistics of experiments: from moments of units to lifts, intervals and what may be said of them."""
