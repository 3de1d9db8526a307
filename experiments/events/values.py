"""Names and instants in an expression that stand for values: the expression is the same, whatever they are."""

import ibis

FUNCTION = "adstyle_value"
"""What SQL has in their place until they are known (`statements`); no engine has such a function."""


@ibis.udf.scalar.builtin(name=FUNCTION, signature=(("string",), "timestamp('UTC', 6)"))
def instant(called: str) -> int:  # type: ignore[empty-body]
    """A moment."""


@ibis.udf.scalar.builtin(name=FUNCTION, signature=(("string",), "string"))
def text(called: str) -> str:  # type: ignore[empty-body]
    """A word."""
