"""What was put into SQL once is asked again with other names and instants, by this process and by the next."""

import ast
import importlib
import json
import os
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from creatives.cache import CACHE_VARIABLE
from experiments.events import compiling, question, statements
from experiments.events.evidence import evidence_of
from experiments.events.question import Divisions, Question
from experiments.events.statements import Statements, Step, duckdb_literal, duckdb_statements

DAYS = timedelta(days=12)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is known beforehand, and nothing afterwards."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    forget_process()
    yield tmp_path / "cache" / "evidence"
    forget_process()


@pytest.fixture
def made(monkeypatch):
    """The forms that were put into SQL."""
    forms, put = [], compiling.for_duckdb

    def for_duckdb(form):
        forms.append(form)
        return put(form)

    monkeypatch.setattr(compiling, "for_duckdb", for_duckdb)
    return forms


@pytest.fixture
def quickly(monkeypatch, made):
    """Words that say no more than which form they are of."""

    def for_duckdb(form):
        made.append(form)
        return Statements((Step("t0", repr(form), named=True),), "FROM t0")

    monkeypatch.setattr(compiling, "for_duckdb", for_duckdb)
    return made


@pytest.fixture
def tables(world, start, rows):
    impressions, outcomes = world(7, start)
    return rows("impressions", impressions), rows("outcomes", outcomes)


def forget_process():
    statements.of_form.cache_clear()


def test_experiments_planned_alike_share_their_words_and_no_more(tables, plan, start, made):
    spring = evidence_of(*tables, plan, start + DAYS, {})
    early = evidence_of(*tables, plan, start + timedelta(days=2), {})
    other = evidence_of(*tables, replace(plan, experiment="winter"), start + DAYS, {})
    later = evidence_of(*tables, replace(plan, start=start + timedelta(days=1)), start + DAYS, {})
    assert len(made) == 1
    units = [sum(arm.units for arm in found.arms.values()) for found in (spring, early, other, later)]
    assert units[0] > units[1] > 0, "of fewer days"
    assert units[0] > units[3] > 0, "from another start on"
    assert units[2] == 0, "of another experiment"


def test_plans_of_another_form_have_words_of_their_own(plan, start, made):
    asked = [
        Question.of(plan, start + DAYS),
        Question.of(replace(plan, segments=("device",)), start + DAYS),
        Question.of(plan, start + DAYS, divided=Divisions((start,), (start,))),
        Question.of(plan, start + DAYS, known_until=start + DAYS / 2),
        Question.of(plan, start + DAYS, turns=2),
    ]
    found = [duckdb_statements(each) for each in asked]
    assert len(made) == len({each.query + str(each.steps) for each in found}) == len(asked)


def test_the_next_process_takes_them_from_the_cache(tables, plan, start, made):
    first = evidence_of(*tables, plan, start + DAYS, {})
    forget_process()
    assert evidence_of(*tables, plan, start + DAYS, {}) == first
    assert len(made) == 1


@pytest.mark.parametrize("harm", ["cut", "empty", "a list", "no query", "a step too long"])
def test_a_damaged_file_is_made_again(plan, start, quickly, cache, harm):
    asked = Question.of(plan, start + DAYS)
    first = duckdb_statements(asked)
    (file,) = cache.iterdir()
    told = json.loads(file.read_text())
    steps = [{**told["steps"][0], "more": 1}]
    texts = {
        "cut": file.read_text()[:-1], "empty": "", "a list": "[]", "no query": json.dumps({"steps": told["steps"]}),
        "a step too long": json.dumps({**told, "steps": steps}),
    }  # fmt: skip
    file.write_text(texts[harm])
    forget_process()
    assert duckdb_statements(asked) == first
    assert len(quickly) == 2
    assert json.loads(file.read_text()) == told, "and mended"


@pytest.mark.parametrize("whose", ["another's", "everybody's", "the group's"])
def test_a_file_that_others_may_write_does_not_count(plan, start, quickly, monkeypatch, cache, whose):
    asked = Question.of(plan, start + DAYS)
    first = duckdb_statements(asked)
    (file,) = cache.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(json.dumps(asdict(Statements((), "SELECT 1 AS harm"))))
    if whose == "another's":
        me = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: me + 1)
    else:
        file.chmod(0o602 if whose == "everybody's" else 0o620)
    forget_process()
    assert duckdb_statements(asked) == first
    assert len(quickly) == 2


def test_where_nothing_can_be_kept_evidence_is_the_same(tables, plan, start, made, cache):
    first = evidence_of(*tables, plan, start + DAYS, {})
    cache.rename(cache.with_name("elsewhere"))
    cache.write_text("a file in its place")
    forget_process()
    assert evidence_of(*tables, plan, start + DAYS, {}) == first
    assert len(made) == 2
    assert cache.read_text() == "a file in its place"


def test_another_definition_has_other_words(plan, start, quickly, monkeypatch, tmp_path):
    asked = Question.of(plan, start + DAYS)
    duckdb_statements(asked)
    forget_process()
    (tmp_path / "more.py").write_text("# says something else")
    monkeypatch.setattr(question, "DEFINED_BY", (*question.DEFINED_BY, tmp_path / "more.py"))
    duckdb_statements(asked)
    assert len(quickly) == 2


def test_the_oldest_files_go(plan, start, monkeypatch, cache):
    monkeypatch.setattr(statements, "_MOST_FILES", 2)
    monkeypatch.setattr(compiling, "for_duckdb", lambda form: Statements((), str(form.turns)))
    for turns in (1, 2, 4):
        duckdb_statements(Question.of(plan, start + DAYS, turns=turns))
        for file in cache.iterdir():
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 60))
    assert sorted(json.loads(file.read_text())["query"] for file in cache.iterdir()) == ["2", "4"]


def test_values_stand_where_their_names_were_and_cannot_be_more():
    asked = Statements(
        (Step("t0", "SELECT adstyle_value('name') AS a", named=False),), "FROM x WHERE ts < ADSTYLE_VALUE('at')"
    )
    instant = datetime(2026, 11, 2, 1, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    found = asked.about({"name": "o'neil adstyle_value('at')", "at": instant}, duckdb_literal)
    assert found.steps[0].query == "SELECT 'o''neil adstyle_value(''at'')' AS a"
    assert found.query == "FROM x WHERE ts < TIMESTAMPTZ '2026-11-02T00:00:00.000005+00:00'"


def test_no_name_is_left_in_the_words(plan, start):
    asked = Question.of(plan, start + DAYS, divided=Divisions((start + DAYS / 2,), (start + DAYS / 3,)))
    found = duckdb_statements(asked)
    assert "adstyle_value" not in (found.query + str(found.steps)).lower()
    assert str((start + DAYS / 3).astimezone(UTC).date()) in found.query + str(found.steps)


def test_every_module_that_the_expression_is_made_of_is_part_of_the_definition():
    """Followed by what they import: in events all of it, of the core what has constants in the expression."""
    found, left = set(), ["experiments.events.expression"]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        importlib.import_module(name)
        tree = ast.parse(Path(sys.modules[name].__file__).read_text())
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if name.startswith("experiments.events"):
            left += [each for each in imported if each and each.startswith("experiments.")]
    assert "experiments.core.evidence" in found
    assert {Path(sys.modules[name].__file__) for name in found} == set(question.DEFINED_BY)
