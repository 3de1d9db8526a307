"""The bell: APScheduler calls the jobs that are due."""
