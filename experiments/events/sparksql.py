"""The evidence expression in Spark's words, the same to the last digit where Spark's own would mean something else.

Spark has no unsigned integers, sums integers in 64 bits, and its ``hash`` has 32. Keys are signed here, which is the
same to whoever compares them, and sums of integers are decimal. What overflows even so is an error, never another
number: that is ANSI mode, on which ``sparksession.py`` insists.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
from ibis.backends.sql.compilers import PySparkCompiler
from ibis.backends.sql.datatypes import PySparkType
from sqlglot import expressions as sge

from experiments.events.compiling import statements_of
from experiments.events.question import Form, Question, Value
from experiments.events.statements import Statements
from experiments.events.values import FUNCTION

_WORDS = {
    "hash": "xxhash64", "epoch_us": "unix_micros", "make_date": "date_from_unix_date",
    FUNCTION: FUNCTION,
}  # fmt: skip
"""DuckDB's functions that the expression calls by name. Spark has others by some of these names."""
_SIGNED: dict[type[dt.DataType], dt.DataType] = {
    dt.UInt64: dt.int64, dt.UInt32: dt.int64, dt.UInt16: dt.int32, dt.UInt8: dt.int16,
}  # fmt: skip
_SUM = dt.Decimal(38, 0)


class SparkType(PySparkType):
    """Signed where Ibis says unsigned."""

    @classmethod
    def from_ibis(cls, dtype: dt.DataType) -> sge.DataType:
        """What ``CAST`` calls it."""
        return super().from_ibis(_SIGNED.get(type(dtype), dtype))


class SparkCompiler(PySparkCompiler):
    """Ibis's own, and what the evidence expression asks of DuckDB beyond Ibis."""

    __slots__ = ()
    type_mapper = SparkType
    SIMPLE_OPS = {ops.Hash: "xxhash64"}  # noqa: RUF012 - Ibis's own protocol

    def visit_ScalarUDF(self, op: ops.ScalarUDF, **arguments: Any) -> sge.Expression:  # noqa: N802
        """A function by name; one that has no known word is refused, because Spark may mean another thing by it."""
        name = self.__sql_name__(op)
        if name not in _WORDS:
            raise NotImplementedError(f"nobody has said what DuckDB's {name} is in Spark")
        return self.f.anon[_WORDS[name]](*arguments.values())

    def visit_Sum(self, op: ops.Sum, *, arg: sge.Expression, where: sge.Expression | None) -> sge.Expression:  # noqa: N802
        """Of integers exact, as DuckDB's 128 bits are."""
        return self.agg.sum(self.cast(arg, _SUM) if op.arg.dtype.is_integer() else arg, where=where)


def spark_statements(question: Question) -> Statements:
    """In Spark's words."""
    return _of_form(question.form).about(question.values, _literal)


@lru_cache(maxsize=64)
def _of_form(form: Form) -> Statements:
    return statements_of(SparkCompiler(), form)


def _literal(value: Value) -> str:
    if isinstance(value, datetime):
        return f"CAST('{value.astimezone(UTC).isoformat()}' AS TIMESTAMP)"
    return sge.Literal.string(value).sql("spark")


def column_type(dtype: dt.DataType) -> str:
    """In a schema as text."""
    return SparkType.from_ibis(dtype).sql("spark")
