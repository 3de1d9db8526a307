"""Every style is held at its content distance by a weight of its own."""

from dataclasses import replace

import pytest
import torch

from creatives.neural.features import Vgg19, read_weights
from creatives.neural.measures import STYLE_LAYERS
from creatives.neural.moments import feature_moments, relative_gap
from creatives.training.balance import LARGEST, Balance
from creatives.training.base import style_tensor
from creatives.training.captured import Captured
from creatives.training.objective import Perception, StyleTargets, terms
from creatives.training.photographs import read_photographs
from creatives.training.session import Session, Settings

TINY = Settings(steps=4, batch=2, size=64, validate_every=0, checkpoint_every=2, patience=0, mixed=False)


def test_a_quiet_style_gains_weight_and_a_loud_one_loses_it():
    balance = Balance(2, (0.4, 0.4), torch.device("cpu"))
    both = torch.tensor([0, 1])
    for _ in range(1000):
        balance.learn(both, torch.tensor([0.1, 0.9]))
    assert balance.factors(both).tolist() == pytest.approx([LARGEST, 1 / LARGEST])


def test_a_constraint_that_answers_is_met():
    """Content that grows with the weight: the weight settles where the goal is."""
    balance, style = Balance(1, (0.5,), torch.device("cpu")), torch.tensor([0])
    for _ in range(2000):
        balance.learn(style, 0.2 * balance.factors(style))
    assert balance.factors(style).item() == pytest.approx(2.5, rel=1e-3)


def test_without_goals_all_weigh_alike():
    balance = Balance(3, (), torch.device("cpu"))
    balance.learn(torch.tensor([0, 2]), torch.tensor([5.0, 0.0]))
    assert balance.factors(torch.arange(3)).tolist() == [1, 1, 1]


@pytest.fixture
def session(vgg_file, photos, painting, tmp_path):
    def open_session(settings, path=None, **more):
        perception = Perception(Vgg19(read_weights(vgg_file), "the tiny eye"), deep=True)
        return Session(
            settings, {"stripes": style_tensor(painting, 96)}, read_photographs(photos), perception,
            path or tmp_path / "training.safetensors", **more,
        )  # fmt: skip

    return open_session


def test_interrupted_and_resumed_it_balances_as_it_would_have(session, tmp_path):
    settings = replace(TINY, content_goals=(0.01,))
    unbroken = session(settings, tmp_path / "unbroken.safetensors")
    list(unbroken.run())
    assert unbroken.balance.logs.item() < 0, "a goal so near cannot be kept to: style has lost weight"
    for step in session(settings).run():
        if step.number == 2:
            break
    resumed = session(settings)
    list(resumed.run())
    assert torch.equal(resumed.balance.logs, unbroken.balance.logs)
    assert torch.equal(resumed.adapters, unbroken.adapters)


def test_a_training_may_end_by_time(session):
    ticks = iter(range(100))
    learner = session(replace(TINY, steps=1, seconds=5.0), clock=lambda: float(next(ticks)))
    steps = list(learner.run())
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert steps[-1].over
    assert session(replace(TINY, steps=1, seconds=5.0)).spent == 5.0, "the time spent is in the checkpoint"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs of kernels need CUDA")
def test_a_captured_step_does_what_the_step_does():
    total = torch.zeros(3, device="cuda")

    def add(given):
        total.add_(given)
        return total.sum()

    one = torch.ones(3, device="cuda")
    captured = Captured(add, one)
    before = float(total.sum())
    assert float(captured(2 * one)) == before + 6


def test_a_style_that_counts_twice_is_drawn_twice_as_often(vgg_file, photos, painting, tmp_path):
    drawn = []

    class Watched(Session):
        def _update(self, pictures, product, chosen):
            drawn.extend(chosen.tolist())
            return super()._update(pictures, product, chosen)

    styles = {"stripes": style_tensor(painting, 96), "others": style_tensor(painting, 80)}
    settings = replace(TINY, steps=3, batch=3, shares=(2, 1))
    perception = Perception(Vgg19(read_weights(vgg_file), "the tiny eye"), deep=True)
    list(Watched(settings, styles, read_photographs(photos), perception, tmp_path / "training").run())
    assert [drawn.count(0), drawn.count(1)] == [6, 3]


def test_deep_perception_measures_as_the_judge_does(vgg_file, painting):
    """Its style term is the mean over the judged layers of distances that are not squared."""
    perception = Perception(Vgg19(read_weights(vgg_file), "the tiny eye"), deep=True)
    styled, style = style_tensor(painting, 96), 1 - style_tensor(painting, 80)
    seen, wanted = perception(styled), perception(style)
    gaps = [
        relative_gap(feature_moments(seen[name]).gram, feature_moments(wanted[name]).gram).sqrt().item()
        for name in STYLE_LAYERS
    ]
    found = terms(
        styled, styled, torch.ones_like(styled[:, :1]), torch.tensor([0]), StyleTargets.of([style], perception),
        perception,
    )  # fmt: skip
    assert found.style.item() == pytest.approx(sum(gaps) / len(gaps), rel=1e-2)
    assert found.content.item() == pytest.approx(0, abs=1e-9)
