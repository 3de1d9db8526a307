import numpy as np
import pytest

from experiments.core.errors import ExperimentError
from experiments.core.proposals import Tried, Why, left_out, propose, quasi_variances
from experiments.core.statistics.pooling import Entry, pool


def entry(name, lifts, *, clicks=2000.0, product=None):
    y = (clicks, *(clicks * np.exp(lift) for lift in lifts.values()))
    return Entry(name, product or name, tuple(lifts), y, (clicks * 30,) * len(y))


EVIDENCE = (
    entry("cup", {"ink": 0.25, "neon": -0.2, "riso": -0.03}),
    entry("shoe", {"ink": 0.3, "riso": 0.09}),
    entry("cat", {"ink": 0.2, "neon": -0.15, "pastel": 0.05}, clicks=300.0),
)
POOLED = pool(EVIDENCE)
STYLES = ("ink", "neon", "riso", "pastel", "linocut", "noir")


def simulated(pooled, styles, product, draws=200_000):
    """How often each style is the best, drawn from the joint posterior."""
    rng = np.random.default_rng(0)
    means, covariances = pooled.on_product(product, styles)
    best = np.zeros(len(styles))
    for node, count in enumerate(rng.multinomial(draws, pooled.weights)):
        root = np.linalg.cholesky(covariances[node] + 1e-12 * np.eye(len(styles)))
        lifts = means[node] + rng.normal(size=(count, len(styles))) @ root.T
        best += np.bincount(lifts.argmax(axis=1), minlength=len(styles))
    return best / draws


@pytest.mark.parametrize(("product", "tolerance"), [(None, 0.01), ("cat", 0.02)])
def test_chances_are_those_of_the_joint_posterior(product, tolerance):
    found = {each.style: each.probability_best for each in propose(POOLED, STYLES, product=product)}
    assert sum(found.values()) == pytest.approx(1)
    assert [found[style] for style in STYLES] == pytest.approx(simulated(POOLED, STYLES, product), abs=tolerance)


def test_the_best_style_leads_and_a_new_one_may_be_better_than_a_bad_one():
    order = [each.style for each in propose(POOLED, STYLES)]
    assert order[0] == "ink"
    assert order.index("noir") < order.index("neon")
    assert order.index("linocut") + 1 == order.index("noir"), "equals stand in the order of their names"


def test_reasons_say_how_much_is_known():
    codes = {each.style: each.reason.code for each in propose(POOLED, STYLES)}
    assert codes == {
        "ink": Why.PROVEN, "riso": Why.PROMISING, "pastel": Why.PROMISING, "neon": Why.DOUBTFUL,
        "linocut": Why.UNTRIED, "noir": Why.UNTRIED,
    }  # fmt: skip
    said = propose(POOLED, STYLES)[0].reason.parameters
    assert said["experiments"] == 3
    assert said["low"] < said["expected"] < said["high"]
    assert said["probability_best"] > 0.5


def test_what_is_settled_on_the_brief_is_passed_over_and_said():
    tried = {
        "ink": (Tried.BETTER, "cup-1"), "neon": (Tried.WORSE, "cup-1"), "riso": (Tried.INCONCLUSIVE, "cup-1"),
        "noir": (Tried.RUNNING, "cup-2"),
    }  # fmt: skip
    found = {each.style: each for each in propose(POOLED, STYLES, tried, product="cup")}
    assert set(found) == {"riso", "pastel", "linocut"}
    assert found["riso"].reason.code == Why.INCONCLUSIVE
    assert found["riso"].reason.parameters["experiment"] == "cup-1"
    assert [(each.style, each.reason.code) for each in left_out(tried)] == [
        ("ink", "style_better_here"), ("neon", "style_worse_here"), ("noir", "style_running_here"),
    ]  # fmt: skip
    assert propose(POOLED, ["ink"], tried) == ()


def test_what_was_measured_on_the_brief_counts_for_it():
    pooled = pool([*EVIDENCE, entry("mug", {"ink": -0.3}, clicks=5000.0)])
    here, elsewhere = (
        {each.style: each for each in propose(pooled, STYLES, product=product)} for product in ("mug", None)
    )
    assert here["ink"].expected < -0.2 < elsewhere["ink"].expected
    assert here["ink"].high - here["ink"].low < elsewhere["ink"].high - elsewhere["ink"].low
    assert here["noir"].expected < elsewhere["noir"].expected, "the original is good there: others will find it hard"


def test_a_metric_that_is_to_fall_turns_everything_round():
    plain = pool(EVIDENCE[:2])
    turned = pool([
        entry(each.experiment, dict(zip(each.styles, -np.log(np.array(each.y[1:]) / each.y[0]), strict=True)))
        for each in EVIDENCE[:2]
    ])  # fmt: skip
    rising = propose(plain, STYLES)
    falling = propose(turned, STYLES, higher_is_better=False)
    assert [each.style for each in falling] == [each.style for each in rising]
    assert [each.reason.code for each in falling] == [each.reason.code for each in rising]
    assert [each.probability_best for each in falling] == pytest.approx(
        [each.probability_best for each in rising], abs=0.01
    )


def test_one_candidate_is_the_best_one():
    (only,) = propose(POOLED, ["pastel"])
    assert only.probability_best == pytest.approx(1)


def test_the_same_candidate_twice_is_refused():
    with pytest.raises(ExperimentError, match="name each candidate once"):
        propose(POOLED, ["ink", "ink"])


def test_quasi_variances_reproduce_the_variances_of_differences():
    rng = np.random.default_rng(2)
    own = rng.exponential(1, (4, 5))
    shared = rng.exponential(3, (4, 1, 1))
    assert quasi_variances(own[:, :, None] * np.eye(5) + shared) == pytest.approx(own)
    pair = np.array([[[2.0, 0.5], [0.5, 1.0]]])
    assert quasi_variances(pair).sum() == pytest.approx(2.0 + 1.0 - 2 * 0.5)
    assert quasi_variances(pair[:, :1, :1]) == pytest.approx(np.array([[2.0]]))
    drawn = rng.normal(size=(1, 6, 9))
    whole = drawn @ drawn.transpose(0, 2, 1)
    found = quasi_variances(whole)[0]

    def misfit(variances):
        own = np.diag(whole[0])
        target = own[:, None] + own[None, :] - 2 * whole[0]
        return sum((target[i, j] - variances[i] - variances[j]) ** 2 for i in range(6) for j in range(i))

    assert all(misfit(found) <= misfit(found + step) for step in rng.normal(0, 0.1, (50, 6)))
