"""A small workspace whose experiment runs, with a clock that moves when told to."""

import csv
import json
import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from PIL import Image

from experiments.cli.app import run
from experiments.composition import open_context
from experiments.core.assignment import assign_many
from experiments.workspace import open_workspace

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
BRIEF = {
    "brief": "cup", "advertiser": "Roastery", "campaign": "autumn", "concept": "cup", "picture": "cup.png",
    "headline": "Roasted today", "call_to_action": "Order", "landing_url": "https://roastery.example/",
    "slots": ["300x250"],
}  # fmt: skip
RATES = {"original": 0.03, "duotone-dusk": 0.07, "noir": 0.03}


class Office:
    """Types commands at an instant, and looks into the stores."""

    def __init__(self, root):
        self.root = root
        self.now = MONDAY - timedelta(days=3)

    def types(self, *arguments, code=0):
        found = run(["-w", str(self.root), "--now", self.now.isoformat(), *map(str, arguments)])
        assert found == code, arguments

    def runs(self, job, code=0):
        self.types("job", "run", job, code=code)

    def looks(self):
        return open_context(open_workspace(self.root), lambda: self.now)

    def phase(self):
        with self.looks() as stores:
            return str(stores.control.state("autumn").phase)

    def delivers(self, week, people=9000, rates=RATES):
        """A week's logs in the inbox, dealt as the experiment says; the same week always gives the same bytes."""
        with self.looks() as stores:
            plan, _ = stores.control.plan("autumn")
            dealt = stores.control.dealings("autumn")
        names = [f"w{week}-{number}" for number in range(people)]
        by_dealing = [assign_many(plan.salt, names, dealing.shares).arms for dealing in dealt]
        rng, start = np.random.default_rng(week), MONDAY + timedelta(weeks=week - 1)
        inbox = self.root / "inbox"
        with (
            (inbox / f"impressions-w{week}.csv").open("w") as shown,
            (inbox / f"clicks-w{week}.jsonl").open("w") as hit,
        ):
            table = csv.writer(shown)
            table.writerow(["event_id", "ts", "experiment", "arm", "unit", "device"])
            for number, (name, when, draw) in enumerate(
                zip(names, rng.random(people), rng.random(people), strict=True)
            ):
                at = start + timedelta(days=7) * when
                arm = by_dealing[sum(dealing.since <= at for dealing in dealt[1:])][number]
                table.writerow([f"i-{name}", at.isoformat(), "autumn", arm, name, ("phone", "desktop")[number % 2]])
                if draw < rates[arm]:
                    late = at + timedelta(seconds=5)
                    hit.write(
                        json.dumps({"event_id": f"c-{name}", "ts": late.isoformat(), "impression_id": f"i-{name}"})
                        + "\n"
                    )


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Makes each kind of workspace once, and copies it for whoever asks: its pictures take their time."""
    made = {}

    def copy(tmp_path, monkeypatch, promotion, **promised):
        kind = json.dumps([promotion, promised], sort_keys=True)
        if kind not in made:
            made[kind] = running(tmp_path_factory.mktemp("office"), monkeypatch, promotion, **promised)
        forget_surroundings(monkeypatch)
        office = Office(shutil.copytree(made[kind].root, tmp_path / "ads"))
        office.now = made[kind].now
        return office

    return copy


@pytest.fixture
def office(once, tmp_path, monkeypatch):
    """An experiment that started on Monday, its creatives approved."""
    return once(tmp_path, monkeypatch, "propose")


@pytest.fixture
def automatic(once, tmp_path, monkeypatch):
    return once(tmp_path, monkeypatch, "auto")


@pytest.fixture
def adaptive(once, tmp_path, monkeypatch):
    """One whose traffic follows the evidence, over four looks."""
    return once(tmp_path, monkeypatch, "auto", looks={"count": 4}, allocation={"rule": "top_two", "floor": 0.1})


@pytest.fixture
def curious(once, tmp_path, monkeypatch):
    """One whose plan names segments and further measures."""
    asked = {"segments": ["device"], "secondary": ["clicks-per-unit", "conversion-rate"]}
    return once(tmp_path, monkeypatch, "auto", **asked)


@pytest.fixture
def draft(tmp_path, monkeypatch):
    """One whose creatives are yet to be made."""
    return drafted(tmp_path, monkeypatch, "propose", weights={"duotone-dusk": 3})


@pytest.fixture
def unapproved(draft):
    """One whose creatives wait for a person."""
    draft.types("experiment", "generate", "autumn")
    return draft


def running(tmp_path, monkeypatch, promotion, **promised):
    office = drafted(tmp_path, monkeypatch, promotion, **promised)
    office.types("experiment", "generate", "autumn")
    office.types("experiment", "approve", "autumn")
    office.types("experiment", "start", "autumn", "--at", MONDAY.isoformat())
    office.now = MONDAY + timedelta(days=7, hours=6)
    return office


def forget_surroundings(monkeypatch):
    for name in ("ADSTYLE_WORKSPACE", "ADSTYLE_NOW"):
        monkeypatch.delenv(name, raising=False)


def drafted(tmp_path, monkeypatch, promotion, **promised):
    forget_surroundings(monkeypatch)
    root = tmp_path / "ads"
    assert run(["init", str(root)]) == 0
    Image.linear_gradient("L").resize((640, 400)).convert("RGB").save(root / "briefs" / "cup.png")
    (root / "briefs" / "cup.yaml").write_text(yaml.safe_dump(BRIEF))
    document = {"experiment": "autumn", "brief": "cup", "styles": ["duotone-dusk", "noir"], "promotion": promotion}
    document |= promised
    (root / "experiments" / "autumn.yaml").write_text(yaml.safe_dump(document))
    office = Office(root)
    office.types("experiment", "create", root / "experiments" / "autumn.yaml")
    return office
