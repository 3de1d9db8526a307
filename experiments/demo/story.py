"""The demo: three campaigns, told with the real commands on the real stores. Only the audience is simulated.

Every step first looks whether its output exists, so an interrupted demo goes on where it stopped, and a finished one
says that there is nothing to do.
"""

import json
import os
import shlex
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.core.errors import ExperimentError
from experiments.core.lifecycle import Phase, allocation
from experiments.demo.campaigns import CAMPAIGNS, write_campaigns

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console

    from experiments.core.statistics.worlds import World
    from experiments.demo.audience import Serving
    from experiments.jobs.context import Context

Adstyle = Callable[[list[str]], int]

CONTROL = "original"
FIRST_MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
WEEKS = 3
TRUTH = "hidden-truth.json"
MORNING = timedelta(hours=6)
"""After midnight of the look: the jobs of Monday morning."""


def tell(out: Path, seed: int, pictures: tuple[Path, ...], console: "Console", adstyle: Adstyle) -> None:
    """Tell the whole story in ``out``: same seed, same truth, same audience, same winner.

    ``adstyle`` is the command line itself: it takes arguments and returns the exit code.
    """
    started = time.monotonic()
    story = Story(out, seed, console, adstyle)
    story.same_seed_as_before()
    if story.finished():
        console.print(f"The story of seed {seed} is told already: there is nothing to do.")
        console.print("For another: adstyle demo --seed N --out DIR")
    else:
        story.set_up(pictures)
        story.launch()
        for week in range(WEEKS):
            story.live_through(week)
    story.epilogue()
    console.print(f"{time.monotonic() - started:.0f} s", style="dim")


class Story:
    """The steps in order; each is dull when repeated."""

    def __init__(self, out: Path, seed: int, console: "Console", adstyle: Adstyle) -> None:
        self.out = out
        self.seed = seed
        self.console = console
        self.adstyle = adstyle

    def same_seed_as_before(self) -> None:
        """A folder holds one story."""
        truth = self.out / TRUTH
        if truth.is_file() and (told := json.loads(truth.read_text())["seed"]) != self.seed:
            raise ExperimentError(f"{self.out} tells the story of seed {told}: give another folder, --out DIR")
        if self.out.exists() and not truth.is_file() and any(self.out.iterdir()):
            raise ExperimentError(f"{self.out} is not empty and no demo of ours: give another folder, --out DIR")

    def finished(self) -> bool:
        """True when every experiment has ended and the last page exists."""
        if not self._page(WEEKS - 1).is_file():
            return False
        with self._stores() as stores:
            phases = [stores.control.state(campaign.name).phase for campaign in CAMPAIGNS]
        return not any(phase in (Phase.DRAFT, Phase.GENERATING, Phase.REVIEW, Phase.RUNNING) for phase in phases)

    def set_up(self, pictures: tuple[Path, ...]) -> None:
        """A workspace with three briefs, their photographs, three experiment files, and a truth nobody looks at yet."""
        from creatives.pictures import load_photograph
        from experiments.store.database import migrate
        from experiments.workspace import SETTINGS, create_workspace, open_workspace

        for picture in pictures:
            load_photograph(picture)  # refused before anything is written
        self._chapter("A workspace with three briefs")
        if not (self.out / TRUTH).is_file():
            self.out.mkdir(parents=True, exist_ok=True)
            document = {"seed": self.seed, "worlds": {name: dict(world.lifts) for name, world in self.worlds().items()}}
            _write_aside(self.out / TRUTH, json.dumps(document, indent=1))
        if not (self.out / SETTINGS).is_file():
            create_workspace(self.out, f"Demo, seed {self.seed}")
        migrate(open_workspace(self.out).database_url)
        write_campaigns(self.out, pictures, WEEKS)
        self.console.print(f"{self.out}: briefs/, experiments/, and {TRUTH}, which only the end of this story reads")

    def launch(self) -> None:
        """Draft, creatives, a yes, start."""
        self._chapter("Briefs become styled variants; ad ops start the experiments")
        for campaign in CAMPAIGNS:
            name, before = campaign.name, FIRST_MONDAY - timedelta(days=3)
            if self._phase(name) is None:
                self.run("experiment", "create", str(self.out / "experiments" / f"{name}.yaml"), now=before)
            if self._phase(name) in (Phase.DRAFT, Phase.GENERATING):
                self.run("experiment", "generate", name, now=before)
            if self._phase(name) is Phase.REVIEW and campaign.promotion == "propose":
                self.run("experiment", "approve", name, now=before)
            if self._phase(name) is Phase.REVIEW:
                self.run("experiment", "start", name, "--at", f"{FIRST_MONDAY:%Y-%m-%dT%H:%MZ}", now=before)

    def live_through(self, week: int) -> None:
        """The audience comes; on Monday morning the scheduler's jobs run."""
        from experiments.demo.logs import week_is_begun, week_is_written, write_week

        monday = FIRST_MONDAY + timedelta(weeks=week)
        self._chapter(f"Week {week + 1}: the audience comes, the logs arrive, Monday's jobs run")
        inbox = self.out / "inbox"
        if week_is_begun(inbox, week + 1):
            return  # told before; its jobs, at its own time, would take the next week's events for future ones
        if not week_is_written(inbox, week):
            lines = write_week(inbox, self._servings(), week, WEEKS, monday, self.seed)
            self.console.print(f"The audience: {lines:,} log lines dropped into inbox/")
        now = monday + timedelta(weeks=1) + MORNING
        for job in ("ingest", "analyse", "promote", "report"):
            self.run("job", "run", job, now=now)

    def epilogue(self) -> None:
        """What was found beside what was true."""
        from rich.table import Table
        from rich.text import Text

        truth = json.loads((self.out / TRUTH).read_text())["worlds"]
        table = Table("experiment", "found winner", "hidden truth", "wrongly promoted?", title="Found and true")
        with self._stores() as stores:
            for campaign in CAMPAIGNS:
                state = stores.control.state(campaign.name)
                lifts: dict[str, float] = truth[campaign.name]
                better = {arm: lift for arm, lift in lifts.items() if lift > 0}
                best = max(better, key=better.__getitem__, default=None)
                said = f"{best} is best ({better[best]:+.0%} clicks)" if best else "no style beats the original"
                how = {Phase.PROMOTED: " (promoted)", Phase.CONCLUDED: " (proposed)"}.get(state.phase, "")
                wrong = state.winner is not None and state.winner not in better
                found = state.winner + how if state.winner else "none"
                table.add_row(campaign.name, found, said, Text("yes", "red") if wrong else "no")
        self.console.print(table)
        self.console.print("Weekly report:", Text(str(self._page(WEEKS - 1)), "bold"))
        self.console.print(f"Look around:   adstyle -w {self.out} status")

    def worlds(self) -> dict[str, "World"]:
        """The hidden truth of each campaign, drawn from the seed and the campaign's name."""
        from experiments.core.seeds import seed_for
        from experiments.core.statistics.worlds import draw_world

        return {
            campaign.name: draw_world(seed_for("demo", str(self.seed), campaign.name), CONTROL, campaign.styles)
            for campaign in CAMPAIGNS
        }

    def run(self, *arguments: str, now: datetime | None = None) -> None:
        """Run one real command of ours, shown as its user would type it."""
        shown = [*(["--now", f"{now:%Y-%m-%dT%H:%MZ}"] if now else []), *arguments]
        self.console.print(f"$ adstyle {shlex.join(shown)}", style="bold cyan")
        code = self.adstyle(["--workspace", str(self.out), *shown])
        if code != 0:
            raise ExperimentError(
                f"the demo stopped at adstyle {shlex.join(shown)} (exit {code}); run it again to go on"
            )

    def _servings(self) -> list["Serving"]:
        from experiments.demo.audience import Serving

        worlds, servings = self.worlds(), []
        with self._stores() as stores:
            for campaign in CAMPAIGNS:
                plan, _ = stores.control.plan(campaign.name)
                weights = allocation(stores.control.state(campaign.name), plan.weights, plan.control, plan.holdback)
                servings.append(Serving(campaign.name, plan.salt, weights, worlds[campaign.name]))
        return servings

    def _phase(self, name: str) -> Phase | None:
        with self._stores() as stores:
            return next((record.phase for record in stores.control.experiments() if record.name == name), None)

    def _page(self, week: int) -> Path:
        year, number, _ = (FIRST_MONDAY + timedelta(weeks=week)).isocalendar()
        return self.out / "reports" / f"{year}-W{number:02d}.html"

    def _stores(self) -> "AbstractContextManager[Context]":
        from experiments.composition import open_context
        from experiments.workspace import open_workspace

        return open_context(open_workspace(self.out))

    def _chapter(self, title: str) -> None:
        self.console.print(f"\n{title}", style="bold")


def _write_aside(path: Path, text: str) -> None:
    aside = path.with_name(path.name + ".part")
    aside.write_text(text)
    os.replace(aside, path)
