"""The pure core: moments, comparisons, verdicts, the life of an experiment. No clock, disk or network."""
