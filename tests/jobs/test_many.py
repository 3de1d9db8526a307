"""What is due is asked of many experiments and many weeks in a time that grows with either, and not with both."""

from datetime import timedelta

from sqlalchemy import Engine, event

from experiments.jobs.report import Report


def test_the_weeks_without_a_page_cost_no_question_each(office):
    asked = []

    def questions(weeks):
        event.listen(Engine, "before_cursor_execute", ask)
        asked.clear()
        with office.looks() as stores:
            due = Report().plan(stores, office.now + timedelta(weeks=weeks))
        event.remove(Engine, "before_cursor_execute", ask)
        assert len(due) == weeks + 1
        return len(asked)

    def ask(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    assert questions(weeks=30) == questions(weeks=0)
