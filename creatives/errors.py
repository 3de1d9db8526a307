"""The one error this package raises at people."""


class CreativeError(Exception):
    """A picture, brief, style or slot cannot be used; the message says which, why, and what to do."""
