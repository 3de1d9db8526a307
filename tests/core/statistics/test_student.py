import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student

from experiments.core.statistics.student import normal_of, t_of


@pytest.mark.parametrize("freedom", [1, 2, 4.6, 30, 900])
@pytest.mark.parametrize("size", [0.0, 0.3, 1.96, 4.4, 12.0])
def test_tails_are_students(freedom, size):
    z = float(normal_of(np.array(size), np.array(float(freedom))))
    assert norm.sf(z) == pytest.approx(student.sf(size, freedom), rel=1e-8)
    assert float(normal_of(np.array(-size), np.array(float(freedom)))) == pytest.approx(-z)


@given(st.floats(0, 12), st.floats(1, 5000))
def test_there_and_back(z, freedom):
    t = t_of(np.array(z), np.array(freedom))
    assert t >= z - 1e-9
    assert float(normal_of(t, np.array(freedom))) == pytest.approx(z, rel=1e-6, abs=1e-6)


def test_far_out_it_is_finite_and_rises():
    t = np.array([40.0, 1e3, 1e6, 1e12, 1e200])
    z = normal_of(t, np.array(300.0))
    assert np.isfinite(z).all()
    assert (np.diff(z[:4]) > 0).all()


def test_many_degrees_of_freedom_change_nothing_and_none_leave_nothing():
    z = np.array([1.0, -50.0, 1e9])
    assert list(normal_of(z, np.array(1e5))) == list(z)
    assert list(t_of(np.abs(z), np.array(np.inf))) == list(np.abs(z))
    assert list(normal_of(z, np.array(0.0))) == [0.0, -0.0, 0.0]
    assert np.isinf(t_of(np.abs(z), np.array(0.0))).all()
