"""What the application refuses to do, and the exit code each refusal earns at the command line."""


class ExperimentError(Exception):
    """Base of everything AdStyle refuses: one clear line saying what is wrong, where, and what to do."""

    exit_code = 2


class TryLater(ExperimentError):
    """Someone else is at it; nothing is wrong and nothing was done."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: cron wrappers and Airflow know it


class StorageFailure(ExperimentError):
    """The machine cannot keep what it was told to keep (a full disk, a lost database)."""

    exit_code = 1
