"""Pictures in, pictures out: briefs, styles, engines and finished advertisements."""
