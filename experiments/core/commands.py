"""What people and jobs may wish of an experiment; `lifecycle.decide` says what becomes of a wish."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Create:
    """Begin as a draft."""

    experiment: str
    control: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask for the creatives; again from review, which forgets what was approved or declined."""


@dataclass(frozen=True, slots=True)
class FinishGeneration:
    """All creatives lie ready; those of ``refused`` arms failed the quality gate and are not served."""

    variants: int
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Approve:
    """Yes to what waits for a person: the creatives in review, or a proposed winner, which is promoted."""


@dataclass(frozen=True, slots=True)
class Decline:
    """No to what waits for a person: one arm's creatives in review, or a proposed winner."""

    arm: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Serve the sealed plan's arms."""

    plan_hash: str
    arms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Serve the control to everyone until resumed."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause."""


@dataclass(frozen=True, slots=True)
class RecordLook:
    """The evidence was judged at look 1, 2, ...; a look taken before changes nothing."""

    look: int
    verdict: str
    arm: str | None = None


@dataclass(frozen=True, slots=True)
class Reweight:
    """Share the traffic out anew: every arm of the plan with its share; together 1."""

    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Conclude:
    """End by the plan: with the winner that the latest verdict names, or with none."""

    winner: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End by a person's will, without a winner."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class ProposePromotion:
    """Put the winner before a person."""

    arm: str | None


@dataclass(frozen=True, slots=True)
class Promote:
    """Give the winner to everyone but the holdback."""

    arm: str | None


@dataclass(frozen=True, slots=True)
class Rollback:
    """Take a promotion back: the control for everyone."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """Put it away; its facts stay."""


Command = (
    Create | Generate | FinishGeneration | Approve | Decline | Start | Pause | Resume | RecordLook | Reweight
    | Conclude | Stop | ProposePromotion | Promote | Rollback | Archive
)  # fmt: skip
