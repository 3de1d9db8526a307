import dataclasses

import pytest

from reports import health
from reports.model import ArmCount, DeliveryRow


def states(experiment):
    return {check.title: check.state for check in health.checks(experiment)}


def changed(experiment, **health_fields):
    return dataclasses.replace(experiment, health=dataclasses.replace(experiment.health, **health_fields))


def test_a_broken_split_is_a_problem(example):
    assert states(example["invalid"]())["Fair split"] == "bad"
    assert states(example["winner"]())["Fair split"] == "good"
    assert states(changed(example["winner"](), sample_ratio_ok=None, sample_ratio_p=None))["Fair split"] == "note"


@pytest.mark.parametrize(("units", "state"), [(0, "good"), (14, "good"), (900, "bad")])
def test_units_that_saw_two_styles(example, units, state):
    assert states(changed(example["winner"](), crossover_units=units))["One style each"] == state


def test_units_that_saw_two_styles_where_none_is_counted(example):
    (check,) = (c for c in health.checks(changed(example["winner"](), units=())) if c.title == "One style each")
    assert (check.state, check.text) == ("note", "14 users saw more than one style and were counted under the first.")


@pytest.mark.parametrize(("covered", "state"), [(21, "good"), (20, "note"), (10, "bad")])
def test_days_without_impressions(example, covered, state):
    assert states(changed(example["winner"](), days_covered=covered))["Complete days"] == state


def test_one_of_a_thing_is_in_the_singular(example):
    experiment = changed(
        example["winner"](), crossover_units=1, repeated_clicks=1, unmatched_clicks=0, days_covered=20,
        invalid_impressions=(ArmCount("ink", 1),),
    )  # fmt: skip
    texts = " ".join(check.text for check in health.checks(experiment))
    assert "1 user saw more than one style and was counted under the first" in texts
    assert "1 repeated click on" in texts
    assert "1 day of 21 has no impressions" in texts
    assert '1 impression by declared bots left out ("ink" 1; only general invalid traffic' in texts


def test_impressions_by_no_person_are_told_by_rule_and_style(example):
    invalid = {
        "invalid_impressions": (ArmCount("ink", 1203), ArmCount("original", 40)),
        "invalid_rules": (
            ("data_centre", (ArmCount("ink", 1200),)),
            ("declared_bot", (ArmCount("ink", 3), ArmCount("original", 40))),
        ),
    }
    (bots,) = (check for check in health.checks(changed(example["winner"](), **invalid)) if check.title == "Bots")
    said = "only general invalid traffic is looked for, not robots that pass for people"
    assert bots.text == (
        f"1,243 impressions not by a person left out ({said}): "
        '1,200 from data centres ("ink" 1,200); 43 by declared bots ("ink" 3, "original" 40).'
    )
    invalid["invalid_rules"] = invalid["invalid_rules"][:1]
    invalid["invalid_impressions"] = (ArmCount("ink", 1200),)
    (bots,) = (check for check in health.checks(changed(example["winner"](), **invalid)) if check.title == "Bots")
    assert bots.text == f'1,200 impressions from data centres left out ("ink" 1,200; {said}).'


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("prefetch", "fetched in advance by browsers"),
        ("zero_size", "in slots without width or height"),
        ("impossible_rate", "at a rate that no person reaches"),
    ],
)
def test_every_rule_has_words(example, rule, words):
    invalid = {"invalid_impressions": (ArmCount("ink", 4),), "invalid_rules": ((rule, (ArmCount("ink", 4),)),)}
    (bots,) = (check for check in health.checks(changed(example["winner"](), **invalid)) if check.title == "Bots")
    assert bots.text.startswith(f'4 impressions {words} left out ("ink" 4;')


def test_clicks_that_are_left_out_are_told_by_rule_and_style(example):
    rules = (
        ("impossible_rate", (ArmCount("ink", 61),)),
        ("repeated_click", (ArmCount("ink", 1), ArmCount("original", 1))),
    )
    left_out = {"click_rules": rules, "repeated_clicks": 2, "unmatched_clicks": 3}
    (clicks,) = (check for check in health.checks(changed(example["winner"](), **left_out)) if check.title == "Clicks")
    assert (clicks.state, clicks.text) == (
        "note",
        "2 repeated clicks, on the same impression or soon after on the same creative, left out "
        '("ink" 1, "original" 1); 61 clicks at a rate that no person reaches left out ("ink" 61); '
        "3 clicks without a matching impression left out.",
    )


def test_lines_are_accounted_for(example):
    text = next(check.text for check in health.checks(example["winner"]()) if check.title == "Delivered lines")
    assert text == "13,844 lines read: 13,807 accepted, 29 seen before, 8 rejected and kept for repair."


def test_lines_that_the_mapping_leaves_out_are_no_rejects(example):
    rejected = (("ignored_event_type", 900), ("ragged_row", 2))
    files = (DeliveryRow("events.json", "conversion", 1000, 90, 8, rejected),)
    report = changed(example["winner"](), deliveries=files)
    text = next(check.text for check in health.checks(report) if check.title == "Delivered lines")
    assert text == (
        "1,000 lines read: 90 accepted, 8 seen before, 2 rejected and kept for repair, 900 of kinds that are left out."
    )


def test_rejects_are_counted_by_reason_the_most_frequent_first():
    files = (
        DeliveryRow("a", "click", 9, 4, 0, (("bad_timestamp", 1), ("ragged_row", 4))),
        DeliveryRow("b", "click", 3, 0, 0, (("bad_timestamp", 2), ("odd_code", 1))),
    )
    assert health.rejects(files) == "4 × wrong number of columns, 3 × a time that cannot be read, 1 × odd code"


def test_of_many_files_those_with_rejects_are_shown_in_order():
    files = tuple(
        DeliveryRow(f"{n}", "click", 1, 1 - n % 2, 0, (("ragged_row", 1),) if n % 2 else ()) for n in range(60)
    )
    shown = health.shown(files)
    assert len(shown) == health.FILES_SHOWN
    assert {f for f in files if f.rejected} <= set(shown)
    assert list(shown) == sorted(shown, key=lambda row: int(row.name))


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        ({"conversions_by_click": 0, "conversions_by_view": 0}, None, None),
        (
            {"conversions_by_click": 1203, "conversions_by_view": 40},
            "good",
            "1,203 conversions by a click, 40 by a view.",
        ),
        ({"withdrawn_conversions": 1}, "good", "1 conversion retracted or refunded whole left out."),
        ({"unmatched_adjustments": 2}, "note", "2 refunds or corrections of conversions that never came."),
    ],
    ids=str,
)
def test_conversions_by_touch_and_what_was_taken_back(example, found, state, says):
    checked = {check.title: check for check in health.checks(changed(example["winner"](), **found))}
    check = checked.get("Conversions")
    assert (check and check.state, check and check.text) == (state, says)


def test_lines_of_a_replaced_file_count_in_no_sum(example):
    old = DeliveryRow("hour-1.csv", "impression", 10, 7, 1, (("ragged_row", 2),), replaced=True)
    new = DeliveryRow("hour-1-again.csv", "impression", 9, 8, 0, (("unknown_arm", 1),))
    experiment = changed(example["winner"](), deliveries=(old, new))
    (check,) = [each for each in health.checks(experiment) if each.title == "Delivered lines"]
    assert check.text == (
        "9 lines read: 8 accepted, 0 seen before, 1 rejected and kept for repair. "
        "Not counted: 1 file that came anew since."
    )
    assert "wrong number" not in health.rejects((old, new))
