"""What holds for all tests."""

import gc
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("unhurried", settings(), deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays to the end, so no search for garbage need go through it again.

    The modules of all tests together load torch, pandas and their like, some millions of objects, and statsmodels
    calls the collector at every use: a test of a hundred examples took it half a minute.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Evidence that was asked for in the very same words is not put into SQL again.

    That takes Ibis a second, ten times what DuckDB then takes for a small lake, and tests ask the same of many lakes.
    """
    if "experiments.events.evidence" not in sys.modules:  # none of these tests gathers any
        yield
        return
    from experiments.events import evidence, reading

    make, put = evidence.evidence_expression, reading.steps
    expressions, parts = {}, {}

    def evidence_expression(impressions, outcomes, *asked, **further):
        words = id(impressions), id(outcomes), repr(asked), repr(further)
        if words not in expressions:
            expressions[words] = impressions, outcomes, make(impressions, outcomes, *asked, **further)
        return expressions[words][-1]

    def steps(compiler, expression):
        words = type(compiler), id(expression)
        if words not in parts:
            parts[words] = expression, put(compiler, expression)
        return parts[words][-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "evidence_expression", evidence_expression)
        patch.setattr(reading, "steps", steps)
        yield
