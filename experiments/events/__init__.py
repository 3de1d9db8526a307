"""The event lake: Delta tables of impressions, outcomes, rejects and counts, and the evidence gathered from them."""
