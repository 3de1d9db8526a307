import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import pytest

from reports import page
from reports.context import anchor
from reports.errors import ReportError
from reports.evidence import DAYS_SHOWN
from reports.gallery import data_uri, pictures
from reports.model import DecisionView, HealthView, VariantTile
from reports.page import render_report, report_document, write_report

ROOT = Path(__file__).parents[2]


class Outline(HTMLParser):
    """Headings in order, ids, and what may not be in a page."""

    def __init__(self, text):
        super().__init__()
        self.levels, self.ids, self.targets, self.tags, self.addresses = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        self.targets += [name for key in ("aria-labelledby",) for name in attrs.get(key, "").split()]
        self.targets += [attrs["href"][1:]] if attrs.get("href", "").startswith("#") else []
        self.addresses += [attrs[key] for key in ("src", "href") if key in attrs and not attrs[key].startswith("#")]


@pytest.fixture(scope="module")
def html(report):
    return render_report(report)


@pytest.fixture(scope="module")
def outline(html):
    return Outline(html)


def test_headings_descend_one_level_at_a_time(outline):
    assert outline.levels.count(1) == 1
    assert outline.levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(outline.levels, outline.levels[1:], strict=False))


def test_ids_are_unique_and_every_reference_has_its_target(outline):
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.targets) <= set(outline.ids)


def test_nothing_runs_and_nothing_is_fetched(html, outline):
    assert not {"script", "iframe", "object", "embed", "form"} & set(outline.tags)
    assert all(address.startswith("data:") for address in outline.addresses)
    assert "@import" not in html
    assert "http" not in re.sub(r'http-equiv|xmlns="http://www.w3.org/2000/svg"|data:[^"]+', "", html)


def test_the_order_is_verdict_decision_evidence_charts_health_gallery_timeline_method(html):
    first = html[html.index('id="e1-') : html.index('id="e2-')]
    parts = ("verdict", "decision", "evidence", "charts", "health", "gallery", "timeline", "method")
    places = [first.index(f'-{part}">') for part in parts]
    assert places == sorted(places)


def test_it_says_who_won_and_how_to_undo_it(html):
    assert "“ink” wins: " in html
    assert "adstyle experiment rollback espresso-autumn" in html
    assert "these figures must not be compared" in html


def test_no_missing_number_shows(example):
    winner = example["winner"]()
    arms = tuple(
        dataclasses.replace(arm, rate=None, low=None, high=None, probability_best=None, expected_loss=None)
        for arm in winner.arms
    )
    lifts = tuple(
        dataclasses.replace(lift, **dict.fromkeys(("relative", "relative_low", "relative_high", "p", "p_adjusted")))
        for lift in winner.lifts
    )
    text = render_report(example["example_report"](dataclasses.replace(winner, arms=arms, lifts=lifts)))
    shown = re.sub(r"<style>.*?</style>|data:[^\"]+|<[^>]+>", "", text, flags=re.DOTALL)
    assert "not known" in shown
    assert not re.search(r"\b[nN]a[nN]\b|\bNone\b|\binf\b", shown)


def test_what_people_wrote_is_escaped(example):
    evil, styled = '<script>alert("x")</script>', '<b onmouseover="x">ink</b>&'
    winner = example["winner"]()
    section = dataclasses.replace(
        winner,
        name=evil,
        title=evil,
        advertiser=evil,
        arms=tuple(dataclasses.replace(arm, style=styled) for arm in winner.arms),
        gallery=tuple(dataclasses.replace(tile, alt=f'"{evil}', style=styled) for tile in winner.gallery),
        decision=DecisionView("promoted", "ink", None, evil, undo_command=f"x '{evil}'"),
        method=dataclasses.replace(winner.method, salt=evil),
    )
    text = render_report(dataclasses.replace(example["example_report"](section), workspace=evil))
    assert "<script" not in text
    assert "<b onmouseover" not in text
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;" in text
    assert Outline(text).levels.count(1) == 1


def test_an_experiment_that_a_person_stopped_is_nowhere_said_to_run(example):
    running = example["running"]()
    stopped = dataclasses.replace(
        running, phase="concluded", decision=DecisionView("stopped", None, running.looks_taken[0].at, "Jonas Berg")
    )
    before = render_report(example["example_report"](stopped)).partition('-evidence">')[0]
    assert "1 experiment was stopped early." in before
    assert "Stopped early" in before
    assert "still running" not in before.lower()
    assert "the next look may" not in before


def test_names_that_run_from_right_to_left_keep_to_themselves(example):
    """Without isolation a full stop jumps to the other end, and of two names the second stands first."""
    title, advertiser, campaign = "קפה Nike בתל אביב!", "נורד", "סתיו (2026)"
    section = dataclasses.replace(example["winner"](), title=title, advertiser=advertiser, campaign=campaign)
    text = render_report(example["example_report"](section, example["running"]()))
    name = '<bdi class="name">espresso-autumn</bdi>'
    assert text.count(f"<bdi>{title}</bdi> {name}</a>") == text.count(f"<bdi>{title}</bdi> {name}</h2>") == 1
    assert text.count(f"<bdi>{advertiser}</bdi> · <bdi>{campaign}</bdi>") == 2


def test_experiments_of_one_brief_bear_their_names(example):
    """In the list at the top as in the heading of each: their headline is the same."""
    winner, names = example["winner"](), ("autumn-north", "autumn-south")
    text = render_report(example["example_report"](*(dataclasses.replace(winner, name=name) for name in names)))
    for kind in (r'<a href="#e\d', r'<h2 id="e\d'):
        found = re.findall(rf"{kind}[^>]*>(.*?)</(?:a|h2)>", text)
        assert [re.sub("<[^>]+>", "", each) for each in found] == [f"{winner.title} {name}" for name in names]


def test_of_many_days_the_table_shows_some_and_says_so(example, html):
    winner = example["winner"]()
    rows = example["daily"](date(2026, 3, 1), 200, {"original": 0.03, "ink": 0.04}, 500, 1)
    text = render_report(example["example_report"](dataclasses.replace(winner, daily=rows)))
    days = re.findall(r'<span class="arm">(\d+ \w{3} \d{4})</span>', text)
    assert len(days) <= DAYS_SHOWN + 1
    assert (days[0], days[-1]) == ("1 Mar 2026", "16 Sep 2026")
    assert f"The other {200 - len(days)} days are in the JSON file" in text
    assert "days are in the JSON file" not in html


def test_the_head_of_a_page_says_that_a_promotion_was_rolled_back(example, report):
    winner = example["winner"]()
    decision = DecisionView("rolled_back", "ink", winner.decision.at, "marketing")
    rolled_back = dataclasses.replace(winner, phase="rolled_back", decision=decision)
    text = render_report(dataclasses.replace(report, sections=(rolled_back,)))
    head = text[text.index("<main") : text.index(">Decision</h3>")]
    assert 'class="badge">Rolled back</h3>' in head
    assert "Winner found" not in head
    assert "tone-good" not in head
    assert '<span class="tag winner">had won</span>' in text


def test_a_name_the_template_does_not_get_crashes(html):
    environment = page._environment(page.template_folder())
    with pytest.raises(jinja2.UndefinedError):
        environment.get_template("weekly.html.j2").render(week="47")


def test_the_templates_are_looked_for_where_a_wheel_and_a_checkout_have_them(tmp_path, monkeypatch):
    package = tmp_path / "reports"
    package.mkdir()
    monkeypatch.setattr(page, "__file__", str(package / "page.py"))
    with pytest.raises(ReportError, match="templates are missing"):
        page.template_folder()
    for folder in (tmp_path / "templates", package / "templates"):
        folder.mkdir()
        (folder / "weekly.html.j2").touch()
        assert page.template_folder() == folder


def test_the_same_inputs_give_the_same_bytes_in_another_process(html):
    code = (
        "import hashlib, runpy; from reports.page import render_report;"
        "report = runpy.run_path('tests/reports/example.py')['example_report']();"
        "print(hashlib.sha256(render_report(report).encode()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == hashlib.sha256(html.encode()).hexdigest()


def test_one_experiment_needs_no_overview(example):
    text = render_report(example["example_report"](example["running"]()))
    assert "at a glance" not in text
    assert "1 experiment is still running." in text


def test_a_week_without_experiments_has_a_friendly_page(report):
    text = render_report(dataclasses.replace(report, sections=()))
    assert "A quiet week" in text
    assert Outline(text).levels == [1, 2]


def test_an_experiment_that_has_not_started_has_a_page(example):
    winner = example["winner"]()
    health = HealthView(None, None, (), 0, (), 0, 0, 0, 0, ())
    draft = dataclasses.replace(
        winner, phase="draft", look=0, verdict=None, decision=DecisionView("none"), arms=(), lifts=(), looks_taken=(),
        daily=(), guardrails=(), health=health, gallery=(), timeline=(),
    )  # fmt: skip
    text = render_report(example["example_report"](draft))
    assert "This experiment is a draft and has not started." in text
    assert "No evidence yet." in text


def test_any_name_makes_an_anchor_of_its_own():
    assert anchor("Espresso & Milk!", 3) == "e3-espresso-milk"
    assert anchor("咖啡", 4) == "e4"


def heavy(example, thumbnail_size):
    tiles = tuple(
        VariantTile(
            arm, arm, f"{n}", f"{arm}-{n}.jpg", f"{arm} {n}", 300, 250, bytes(thumbnail_size), "image/jpeg", 40_000
        )
        for arm in ("original", "ink", "night")
        for n in range(10)
    )
    return example["example_report"](dataclasses.replace(example["winner"](), gallery=tiles))


def test_a_page_stays_under_a_megabyte_and_shows_every_arm(example):
    text = render_report(heavy(example, 60_000))
    assert 800_000 < len(text.encode()) < 1_000_000
    assert "Picture left out" in text
    for arm in ("original", "ink", "night"):
        assert re.search(rf'<img src="data:[^"]+" alt="{arm} 0"', text)


def test_pictures_shown_twice_are_counted_twice(example):
    report = heavy(example, 3_000)
    name = report.sections[0].name
    everything = pictures(report, 10**9, ())
    budget = sum(len(address) for address in everything.values()) + 400 * len(everything)
    assert len(pictures(report, budget, ())) == len(everything)
    assert len(pictures(report, budget, {(name, "ink-0.jpg")})) < len(everything)


def test_only_pictures_a_browser_shows(example):
    tile = dataclasses.replace(example["winner"]().gallery[0], media_type="text/html")
    with pytest.raises(ReportError, match="cannot be 'text/html'"):
        data_uri(tile)


def test_the_document_keeps_full_precision_and_leaves_pictures_out(report):
    document = report_document(report)
    text = json.dumps(document, allow_nan=False)
    section = document["sections"][0]
    assert json.loads(text) == document
    assert section["lifts"][0]["relative"] == report.sections[0].lifts[0].relative
    assert section["verdict"]["reasons"][0]["text"].startswith('"ink" beats the control')
    assert section["timeline"][0]["at"] == "2026-10-30T09:12:00+00:00"
    assert "thumbnail" not in section["gallery"][0]
    assert document["start"] == "2026-11-16"


def test_the_document_has_null_where_there_is_no_number(example):
    winner = example["winner"]()
    lift = dataclasses.replace(winner.lifts[0], relative_high=float("inf"), p=float("nan"))
    document = report_document(example["example_report"](dataclasses.replace(winner, lifts=(lift,))))
    row = document["sections"][0]["lifts"][0]
    assert row["relative_high"] is None
    assert row["p"] is None


def test_files_are_written_whole_and_left_alone_when_nothing_changed(report, html, tmp_path):
    paths = write_report(report, tmp_path / "reports")
    assert [path.name for path in paths] == ["2026-W47.html", "2026-W47.json"]
    assert paths[0].read_text(encoding="utf-8") == html
    before = [path.stat().st_mtime_ns for path in paths]
    assert write_report(report, tmp_path / "reports") == paths
    assert [path.stat().st_mtime_ns for path in paths] == before
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == [path.name for path in paths]


def test_a_page_that_cannot_be_made_leaves_the_old_one(report, tmp_path):
    paths = write_report(report, tmp_path)
    old = paths[0].read_bytes()
    bad = dataclasses.replace(report.sections[0], decision=DecisionView("perhaps"))
    with pytest.raises(ReportError):
        write_report(dataclasses.replace(report, sections=(bad,)), tmp_path)
    assert paths[0].read_bytes() == old


def test_a_full_disk_leaves_nothing_half_written(report, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("reports.page.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(report, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unknown_states_are_refused_by_name(example):
    winner = example["winner"]()
    odd = dataclasses.replace(winner, guardrails=(dataclasses.replace(winner.guardrails[0], state="perhaps"),))
    with pytest.raises(ReportError, match="no guardrail state 'perhaps'"):
        render_report(example["example_report"](odd))
    odd = dataclasses.replace(winner, verdict=dataclasses.replace(winner.verdict, kind="perhaps"))
    with pytest.raises(ReportError, match="no verdict 'perhaps'"):
        render_report(example["example_report"](odd))
