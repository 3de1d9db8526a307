"""``export trafficking``: what goes to the ad server is what was approved, and its sheet comes back."""

import csv
import hashlib
from collections import defaultdict

import pytest

from experiments.ingest.feed import read_trafficking


@pytest.fixture
def exported(tmp_path):
    """Exports into a folder, and gives the sheet."""

    def export(office, *more, code=0):
        out = tmp_path / "out"
        office.types("export", "trafficking", "autumn", "--out", out, *more, code=code)
        return list(csv.DictReader((out / "trafficking.csv").read_text().splitlines())) if code == 0 else out

    return export


def test_every_approved_creative_goes_as_it_was_rendered(office, exported, tmp_path):
    rows = exported(office, "--column", "Rendering ID")
    with office.looks() as stores:
        variants = {variant.file_name: variant for variant in stores.control.variants("autumn")}
    assert {row["file"] for row in rows} == variants.keys()
    shares = defaultdict(float)
    for row in rows:
        variant, copy = variants[row["file"]], (tmp_path / "out" / row["file"]).read_bytes()
        assert hashlib.sha256(copy).hexdigest() == row["sha256"] == variant.sha256
        assert (row["arm"], row["slot"], int(row["bytes"])) == (variant.arm, variant.slot, len(copy))
        assert (row["column"], row["value"], row["experiment"]) == ("Rendering ID", "", "autumn")
        assert row["landing_url"] == "https://roastery.example/"
        shares[row["slot"]] += float(row["share"])
    assert shares == {"300x250": pytest.approx(1, abs=1e-5)}


def test_with_the_ad_servers_numbers_it_is_the_workspaces_trafficking(office, exported, tmp_path):
    """Filled in it is read, and what it says is which creative is which arm."""
    rows = exported(office, "--column", "Rendering ID")
    filled = tmp_path / "filled.csv"
    with filled.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(row | {"value": str(500 + number)} for number, row in enumerate(rows))
    expected = {str(500 + number): ("autumn", row["arm"]) for number, row in enumerate(rows)}
    assert read_trafficking(filled) == {"renderingid": expected}


def test_shares_are_those_of_the_moment(office, exported, tmp_path):
    office.types("experiment", "pause", "autumn")
    assert {row["arm"]: row["share"] for row in exported(office)} == {"original": "1", "duotone-dusk": "0", "noir": "0"}


def test_nothing_is_exported_that_was_not_approved(unapproved, exported, capsys):
    out = exported(unapproved, code=2)
    assert "not approved yet: adstyle experiment review autumn" in capsys.readouterr().err
    assert not out.exists()


def test_before_the_start_shares_are_those_that_will_be_and_declined_arms_stay_here(unapproved, exported):
    unapproved.types("experiment", "decline", "autumn", "--arm", "noir", "--why", "too dark")
    unapproved.types("experiment", "approve", "autumn")
    assert {row["arm"]: row["share"] for row in exported(unapproved)} == {"original": "0.25", "duotone-dusk": "0.75"}


def test_without_creatives_it_says_how_to_make_them(draft, exported, capsys):
    exported(draft, code=2)
    assert "autumn has no creatives yet: adstyle experiment generate autumn" in capsys.readouterr().err


def test_of_an_archived_experiment_nothing_is_exported(unapproved, exported, capsys):
    unapproved.types("experiment", "approve", "autumn")
    unapproved.types("experiment", "archive", "autumn")
    out = exported(unapproved, code=2)
    assert "autumn is archived, and nothing of it is served any more" in capsys.readouterr().err
    assert not out.exists()


def test_what_was_changed_since_is_not_exported(office, exported, capsys):
    file = next((office.root / "variants" / "autumn").glob("*noir*"))
    file.write_bytes(file.read_bytes() + b"\0")
    out = exported(office, code=2)
    assert "was changed since it was rendered" in capsys.readouterr().err
    assert not out.exists()


def test_numbers_that_were_filled_in_are_not_replaced(office, exported, tmp_path, capsys):
    exported(office)
    (tmp_path / "out" / "trafficking.csv").write_text("filled in")
    exported(office, code=2)
    assert "is already there, and numbers may stand in it" in capsys.readouterr().err
    assert (tmp_path / "out" / "trafficking.csv").read_text() == "filled in"
