"""Looking for weights and rate: one yardstick, one clock, ended when time is up or somebody asks."""

import pytest
import torch

from creatives.training.fit import Wish, settings_of
from creatives.training.lesson import prepare
from creatives.training.search import LEAST_STEPS, SPACE, Choice, keep, kept, score, search

SETTINGS = settings_of(Wish(steps=8, batch=1, size=64, mixed=False))


@pytest.fixture
def lesson(shared_file, painting, vgg_file, photos):
    return prepare(painting, "stripes", vgg=vgg_file, photos=photos)


class Clock:
    """Every question takes a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_the_yardstick_knows_no_weights(lesson, tmp_path):
    scores = {score(lesson.session(Choice(*weights, 1e-3).into(SETTINGS), tmp_path / "t"))
              for weights in ((2.0, 0.3), (80.0, 3.0))}  # fmt: skip
    assert len(scores) == 1


def test_the_photograph_itself_scores_by_its_strokes_alone(lesson, tmp_path, monkeypatch):
    session = lesson.session(SETTINGS, tmp_path / "t")
    far = score(session)
    monkeypatch.setattr(type(session), "style", lambda _self, pictures, _name: pictures)
    untouched = score(session)
    monkeypatch.setattr(type(session), "style", lambda _self, pictures, _name: torch.rand_like(pictures))
    assert score(session) != untouched != far


def test_the_same_seed_and_clock_find_the_same(lesson):
    found = [search(lesson, SETTINGS, seconds=50, clock=Clock()) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].whole >= 2
    assert found[0].score <= found[0].given, "what was given is tried first, and the best is no worse"
    for name, (low, high) in SPACE.items():
        assert low <= getattr(found[0].choice, name) <= high


def test_time_is_kept_and_told(lesson):
    told, clock = [], Clock()
    search(lesson, SETTINGS, seconds=30, clock=clock, progress=told.append)
    assert told == sorted(told)
    assert told[-1] <= 30 + 3


def test_without_time_for_a_trial_what_was_given_stays(lesson):
    found = search(lesson, SETTINGS, seconds=LEAST_STEPS // 2, clock=Clock())
    assert (found.choice, found.score, found.given) == (Choice.of(SETTINGS), None, None)
    assert (found.whole, found.cut_short) == (0, 0)


def test_it_ends_when_asked(lesson):
    asked = iter([False] * 5 + [True] * 100)
    found = search(lesson, SETTINGS, seconds=1e9, clock=Clock(), stopped=lambda: next(asked))
    assert found.whole == 0


def test_choices_fall_into_the_settings():
    choice = Choice(style=3.0, content=0.5, rate=4e-3)
    settings = choice.into(SETTINGS)
    assert Choice.of(settings) == choice
    assert settings.rate == 1e-3
    assert choice.into(settings) == settings


def test_what_was_found_is_kept_for_the_same_question_only(lesson, tmp_path):
    path, choice = tmp_path / "desk" / "stripes.search.json", Choice(3.0, 0.5, 4e-3)
    assert kept(path, lesson, SETTINGS) is None
    keep(choice, path, lesson, SETTINGS)
    assert kept(path, lesson, SETTINGS) == choice
    assert kept(path, lesson, settings_of(Wish(steps=9))) is None
    path.write_text('{"choice": []}')
    assert kept(path, lesson, SETTINGS) is None
