"""A WeeklyReport value in, one self-contained page out."""
