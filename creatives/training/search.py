"""Looking for the weights and the rate under which a style is learned best, within a given time.

Trials are short trainings of the adapter alone, ended early where others did better at the same step (T. Akiba et al.,
"Optuna", KDD 2019; J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011). They are not
compared by their loss, which small weights make small, but by one yardstick for all.
"""

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from creatives.errors import CreativeError
from creatives.training.fit import weighted
from creatives.training.lesson import Lesson
from creatives.training.objective import terms
from creatives.training.session import Session, Settings

SPACE = {"style": (2.0, 80.0), "content": (0.3, 3.0), "rate": (1e-3, 3e-2)}
"""Lowest and highest, all searched by their logarithm."""
SHARE, LEAST_STEPS = 0.2, 8
"""Of the training's steps, those of a trial; and how many it has at least."""
LOOKS = 4
"""How often a trial is judged; where it ends is the last."""
CONTENT = 0.5
"""What a content gap counts beside the style gaps of all layers."""
_HUGE = 1e300
"""More than any choice; JSON may hold whole numbers that no float can."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is searched for."""

    style: float
    content: float
    rate: float
    """Highest learning rate of the adapter."""

    def __str__(self) -> str:
        return f"style weight {self.style:.3g}, content weight {self.content:.3g}, rate {self.rate:.3g}"

    @classmethod
    def of(cls, settings: Settings) -> "Choice":
        """What the settings hold."""
        return cls(settings.weights.style, settings.weights.content, settings.adapter_rate)

    def into(self, settings: Settings) -> Settings:
        """The settings with this in its place."""
        return weighted(settings, style=self.style, content=self.content, rate=self.rate)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to."""

    choice: Choice
    score: float | None
    """None where no trial was whole: the choice is then what was given."""
    given: float | None
    """The score of what was given, where there was time for it."""
    whole: int
    cut_short: int
    """Trials that fell behind others."""


def score(session: Session) -> float:
    """How far styled photographs are from the style and from themselves, on those held back; lower is better.

    The squared relative gaps of all Gram matrices, added, and CONTENT of the content's.
    """
    wish, perception = session.settings, session.perception
    held = session.photographs.held_out(wish.size)
    gaps = []
    for start in range(0, len(held.pictures), wish.batch):
        part = held.pictures[start : start + wish.batch]
        pictures = torch.from_numpy(part.copy()).permute(0, 3, 1, 2).float() / 255
        styled = session.style(pictures, session.names[0]).to(session.device)
        pictures, count = pictures.to(session.device), len(part)
        with torch.no_grad():
            product, chosen = torch.ones_like(pictures[:, :1]), torch.zeros(count, dtype=torch.long)
            found = terms(styled, pictures, product, chosen.to(session.device), session.targets, perception)
        gaps += (len(perception.style_layers) * found.style + CONTENT * found.content).tolist()
    return sum(gaps) / len(gaps)


def search(
    lesson: Lesson, settings: Settings, *, seconds: float, clock: Callable[[], float],
    stopped: Callable[[], bool] = lambda: False, progress: Callable[[float], None] = lambda _spent: None,
) -> Found:  # fmt: skip
    """Try choices for ``seconds`` of ``clock``, the settings' own first; a trial that time cuts off does not count.

    ``stopped`` is asked after every step whether somebody wants an end; ``progress`` is told the seconds spent.

    Raises:
        CreativeError: where Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise CreativeError("--search needs its package: pip install 'adstyle[train]'") from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=settings.seed), pruner=optuna.pruners.MedianPruner(n_startup_trials=3)
    )
    own = Choice.of(settings)
    study.enqueue_trial({name: min(max(getattr(own, name), low), high) for name, (low, high) in SPACE.items()})
    began = clock()

    def over() -> bool:
        progress(clock() - began)
        return stopped() or clock() - began >= seconds

    with tempfile.TemporaryDirectory(prefix="adstyle-") as folder:
        while not over():
            trial = study.ask()
            choice = Choice(**{name: trial.suggest_float(name, *ends, log=True) for name, ends in SPACE.items()})
            path = Path(folder) / f"{trial.number}.safetensors"
            reached, state = _try(lesson, choice.into(_short(settings)), path, trial, over)
            path.unlink(missing_ok=True)
            study.tell(trial, reached, state=state)
    whole = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    cut_short = len(study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.PRUNED]))
    given = whole[0].value if whole and whole[0].number == 0 else None
    if not whole:
        return Found(own, None, None, 0, cut_short)
    best = study.best_trial
    return Found(Choice(**best.params), best.value, given, len(whole), cut_short)


def keep(choice: Choice, path: Path, lesson: Lesson, settings: Settings) -> None:
    """Write down what was found for these settings, so that an interrupted training need not search again."""
    aside = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(json.dumps({"choice": asdict(choice), "for": _question(lesson, settings)}), encoding="utf-8")
    os.replace(aside, path)


def kept(path: Path, lesson: Lesson, settings: Settings) -> Choice | None:
    """What was found for these settings earlier; None where nothing was, or for others."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        choice = Choice(**found["choice"])
        if found["for"] != _question(lesson, settings):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    amounts = all(type(value) in (int, float) and 0 <= value < _HUGE for value in asdict(choice).values())
    return choice if amounts else None


def _question(lesson: Lesson, settings: Settings) -> dict[str, Any]:
    """As JSON gives it back."""
    question: dict[str, Any] = json.loads(json.dumps({"lesson": lesson.key, "settings": asdict(settings)}))
    return question


def _short(settings: Settings) -> Settings:
    steps = max(LEAST_STEPS, round(settings.steps * SHARE))
    return replace(settings, steps=steps, frozen=True, patience=0, validate_every=0, checkpoint_every=0)


def _try(
    lesson: Lesson, settings: Settings, path: Path, trial: Any, over: Callable[[], bool]
) -> tuple[float | None, Any]:
    """The score of one trial and how it ended."""
    from optuna.trial import TrialState

    session, reached = lesson.session(settings, path), math.nan
    every = max(1, settings.steps // LOOKS)
    for step in session.run():
        if over() and not step.over:
            return None, TrialState.FAIL
        if step.number % every == 0 or step.over:
            reached = score(session)
            if not math.isfinite(reached):
                return None, TrialState.FAIL
            trial.report(reached, step.number)
            if not step.over and trial.should_prune():
                return None, TrialState.PRUNED
    return reached, TrialState.COMPLETE
