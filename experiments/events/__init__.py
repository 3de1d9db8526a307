"""The event lake: Delta tables of impressions, outcomes and rejects, and the evidence gathered from them."""
