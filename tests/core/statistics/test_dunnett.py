import numpy as np
import pytest
from scipy.stats import dunnett, multivariate_normal
from statsmodels.stats.multitest import multipletests

from experiments.core.statistics.dunnett import (
    critical_value,
    holm,
    joint_tail,
    shared_variance,
    two_sided,
    z_of_two_sided,
)


def box_probability(critical, shared):
    """P(all |Z_i| <= critical) by integrating the density, an independent way to 1 - joint_tail."""
    covariance = np.outer(shared, shared)
    np.fill_diagonal(covariance, 1.0)
    size = len(shared)
    return multivariate_normal(np.zeros(size), covariance, maxpts=2_000_000, abseps=1e-9).cdf(
        np.full(size, critical), lower_limit=np.full(size, -critical), rng=np.random.default_rng(1)
    )


@pytest.mark.parametrize("shared", [[0.7071, 0.7071], [0.3, 0.9], [0.5, 0.6, 0.8], [0.7071] * 4])
@pytest.mark.parametrize("critical", [0.5, 1.96, 2.8])
def test_the_joint_tail_is_what_multivariate_integration_gives(shared, critical):
    shared = np.array(shared)
    assert joint_tail(np.array(critical), shared) == pytest.approx(1 - box_probability(critical, shared), abs=2e-6)


@pytest.mark.parametrize(
    ("contrasts", "published"), list(enumerate((1.96, 2.21, 2.35, 2.44, 2.51, 2.57, 2.61, 2.65, 2.69), 1))
)
def test_equal_arms_have_dunnetts_published_critical_values(contrasts, published):
    # Dunnett (1964), two-sided 5 %, infinite degrees of freedom, correlation one half.
    assert critical_value(0.05, np.full(contrasts, np.sqrt(0.5))) == pytest.approx(published, abs=0.005)


def test_scipys_dunnett_agrees_where_degrees_of_freedom_are_many():
    rng = np.random.default_rng(4)
    control, arms = rng.normal(0, 1, 4000), [rng.normal(shift, 1, size) for shift, size in ((0.05, 2000), (0.06, 5000))]
    means = np.array([arm.mean() for arm in arms]) - control.mean()
    pooled = sum(((group - group.mean()) ** 2).sum() for group in (control, *arms)) / (11_000 - 3)
    z = means / np.sqrt(pooled * (1 / 4000 + 1 / np.array([2000, 5000])))
    shared = shared_variance(np.array([1 / 4000]), np.array([1 / 2000, 1 / 5000]))
    expected = dunnett(*arms, control=control, rng=np.random.default_rng(2)).pvalue
    assert joint_tail(np.abs(z), np.broadcast_to(shared, (2, 2))) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3, 1e-8])
def test_the_critical_value_inverts_the_tail(alpha):
    shared = np.array([[0.2, 0.6, 0.9], [0.7, 0.7, 0.7]])
    assert joint_tail(critical_value(alpha, shared), shared) == pytest.approx(np.full(2, alpha), rel=1e-9)


def test_the_tail_keeps_its_precision_far_out():
    far = joint_tail(np.array([12.0, 30.0]), np.full((2, 3), 0.7))
    assert far == pytest.approx(3 * two_sided(np.array([12.0, 30.0])), rel=1e-9)


def test_holm_is_what_statsmodels_says():
    p = np.random.default_rng(1).random((20, 6)) ** 3
    expected = [multipletests(row, method="holm")[1] for row in p]
    assert holm(p) == pytest.approx(np.array(expected))


def test_a_p_value_and_its_z_are_inverse_down_to_the_smallest():
    p = np.array([1.0, 0.3, 1e-10, 1e-300])
    assert two_sided(z_of_two_sided(p)) == pytest.approx(p, rel=1e-9)
