"""What a benchmark gives: a title, the conditions it was measured under, and rows that anyone may check."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """One claim's figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As the README shows it; columns after the first are numbers and stand right."""
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines = (f"| {' | '.join(cells)} |" for cells in (self.columns, rule, *self.rows))
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"
