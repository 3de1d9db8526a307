"""What holds for all tests."""

import gc

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
