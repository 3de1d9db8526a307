"""What is due is asked of many experiments and many weeks in a time that grows with either, and not with both."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import Engine, event

from experiments.core.commands import Approve, FinishGeneration, Generate
from experiments.jobs.report import Report
from experiments.jobs.upkeep import Retain


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


def test_the_experiments_that_have_started_cost_no_question_each(office):
    """Of their plans and lives; a running one may be due, which is asked of each."""
    asked = []

    def questions():
        event.listen(Engine, "before_cursor_execute", ask)
        asked.clear()
        with office.looks() as stores:
            Report().plan(stores, office.now)
            Retain().plan(stores, office.now)
        event.remove(Engine, "before_cursor_execute", ask)
        return len(asked)

    def ask(_connection, _cursor, statement, *_rest):
        asked.append(statement)

    alone = questions()
    with office.looks() as stores:
        plan, _ = stores.control.plan("autumn")
        variants = stores.control.variants("autumn")
        for name in ("winter", "spring", "summer"):
            stores.control.create_experiment(name, {"brief": "cup"}, salt=name, control=plan.control, actor="ada")
            stores.control.execute(name, Generate(), "ada")
            stores.control.save_variants(name, variants)
            stores.control.execute(name, FinishGeneration(len(variants)), "ada")
            stores.control.execute(name, Approve(), "ada")
            stores.control.seal_plan(name, replace(plan, experiment=name, salt=name), "ada")
    assert questions() == alone
