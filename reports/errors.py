"""The one error this package raises at people."""


class ReportError(Exception):
    """A page cannot be made; the message says which, why, and what to do."""
