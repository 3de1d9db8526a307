"""An invented but realistic weekly report: one promoted winner, one experiment under way, one that cannot be judged."""

import math
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from reports.model import (
    ArmCount,
    ArmRow,
    ArmUnits,
    BoardView,
    DailyRow,
    DecisionView,
    DeliveryRow,
    ExperimentReport,
    GuardrailRow,
    HealthView,
    LiftRow,
    LookRow,
    MethodFacts,
    MetricView,
    MilestoneRow,
    ReasonView,
    SecondaryRow,
    SegmentRow,
    SegmentView,
    StyleRow,
    VariantTile,
    VerdictView,
    WeeklyReport,
)

CTR = MetricView("ctr", "clicks", "impressions")
TINTS = {
    "original": ("#c9b8a4", "#5b4636"),
    "ink": ("#f2efe8", "#1c2733"),
    "watercolour": ("#cfe3ea", "#4a7f95"),
    "halftone": ("#ffd166", "#c8402f"),
    "night": ("#1d2340", "#8fa3e0"),
    "poster": ("#f0642f", "#20343b"),
    "pencil": ("#eeeeea", "#77777a"),
}
SLOTS = ((300, 250), (728, 90), (1080, 1080))


def picture(arm: str, width: int, height: int) -> bytes:
    """A small drawing of a cup in the arm's colours: the same bytes on every machine."""
    paper, ink = TINTS[arm]
    size = min(width, height)
    x, y, top, bar = width * 0.62, height * 0.56, height * 0.2, size * 0.09
    shadow = f'cx="{x:.0f}" cy="{y + size * 0.24:.0f}" rx="{size * 0.36:.0f}" ry="{size * 0.06:.0f}"'
    cup = f"M{x - size * 0.22:.0f} {y - size * 0.2:.0f}h{size * 0.44:.0f}l{-size * 0.06:.0f} {size * 0.4:.0f}"
    lines = "".join(
        f'<rect x="{width * 0.06:.0f}" y="{at:.0f}" width="{width * share:.0f}" height="{bar:.0f}"/>'
        for at, share in ((top, 0.3), (top + size * 0.14, 0.22))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" fill="{ink}">'
        f'<rect width="{width}" height="{height}" fill="{paper}"/><ellipse {shadow} opacity=".35"/>'
        f'<path d="{cup}h{-size * 0.32:.0f}z"/>{lines}</svg>'
    ).encode()


def gallery(arms: tuple[str, ...]) -> tuple[VariantTile, ...]:
    return tuple(
        VariantTile(
            arm=arm,
            style="original" if arm == "original" else f"{arm}#4f1c{len(arm):02d}a8d2b1@1.0",
            slot=f"{width}x{height}",
            file_name=f"nordlys_autumn_cup_{arm}_{width}x{height}_en_v1_8c21f0{len(arm):02d}.jpg",
            alt=f"A cup of coffee on a wooden table, {arm} look, with the headline “Slow mornings, strong coffee”",
            width=width,
            height=height,
            thumbnail=picture(arm, width, height),
            media_type="image/svg+xml",
            weight=41_200 + 1_370 * len(arm) + width * height // 40,
        )
        for arm in arms
        for width, height in SLOTS
    )


def daily(start: date, days: int, rates: dict[str, float], impressions: int, seed: int) -> tuple[DailyRow, ...]:
    dice = random.Random(seed)  # noqa: S311 - the same week every time
    rows = []
    for n in range(days):
        for arm, rate in rates.items():
            shown = round(impressions * dice.uniform(0.92, 1.08) * (0.85 if n % 7 > 4 else 1))
            clicks = round(shown * rate + dice.gauss(0, 1) * math.sqrt(shown * rate))
            rows.append(DailyRow(start + timedelta(days=n), arm, shown, max(0, clicks)))
    return tuple(rows)


def arm_rows(rows: tuple[DailyRow, ...], best: dict[str, float]) -> tuple[ArmRow, ...]:
    arms = []
    for arm in dict.fromkeys(row.arm for row in rows):
        impressions = sum(row.impressions for row in rows if row.arm == arm)
        clicks = sum(row.clicks for row in rows if row.arm == arm)
        rate = clicks / impressions
        half = 1.96 * math.sqrt(1.15 * rate / impressions)
        style = "original" if arm == "original" else f"{arm}#4f1c{len(arm):02d}a8d2b1@1.0"
        arms.append(
            ArmRow(
                arm,
                style,
                arm == "original",
                round(impressions / 3.1),
                clicks,
                impressions,
                rate,
                rate - half,
                rate + half,
                best[arm],
                max(0.0, max(0.0031 - best[arm] * 0.0031, 0.00001)),
            )
        )
    return tuple(arms)


def lift_rows(rows: tuple[DailyRow, ...], critical: float, adjusted: dict[str, float]) -> tuple[LiftRow, ...]:
    arms = {arm.name: arm for arm in arm_rows(rows, dict.fromkeys({row.arm for row in rows}, 0.0))}
    control = arms["original"]
    lifts = []
    for name, arm in arms.items():
        if name == "original":
            continue
        gap = arm.rate - control.rate
        error = math.sqrt(1.15 * (arm.rate / arm.denominator + control.rate / control.denominator))
        low, high = gap - critical * error, gap + critical * error
        p = math.erfc(abs(gap) / error / math.sqrt(2))
        lifts.append(
            LiftRow(
                name,
                gap,
                low,
                high,
                gap / control.rate,
                low / control.rate,
                high / control.rate,
                p,
                adjusted.get(name, min(1.0, p * 4)),
            )
        )
    return tuple(lifts)


def method(looks: int, unit: str, seal: str, promotion: str = "auto") -> MethodFacts:
    return MethodFacts(
        alpha=0.05,
        correction="dunnett",
        spending="obrien_fleming",
        looks=looks,
        look_days=7,
        unit=unit,
        salt="espresso-autumn/2026",
        plan_hash=seal * 8,
        lake_versions=(("impressions", 214), ("outcomes", 198)),
        click_days=1,
        conversion_days=7,
        promotion=promotion,
        holdback=0.05,
        sample_ratio_p=0.001,
        crossover_share=0.01,
        minimum_units=100,
        coverage=0.9,
    )


def at(day: int, hour: int = 0, minute: int = 5, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def winner() -> ExperimentReport:
    arms = ("original", "ink", "watercolour", "halftone", "night")
    rates = {"original": 0.0305, "ink": 0.0362, "watercolour": 0.0318, "halftone": 0.0296, "night": 0.0311}
    rows = daily(date(2026, 11, 2), 21, rates, 1_450, seed=11)
    looks = tuple(
        LookRow(n, at(2 + 7 * n), lift_rows(tuple(r for r in rows if r.day < date(2026, 11, 2 + 7 * n)), z, {}), kind)
        for n, z, kind in ((1, 4.1, "keep_running"), (2, 3.0, "keep_running"), (3, 2.5, "promote"))
    )
    expected = {
        "ink": (0.121, 0.041, 0.21),
        "watercolour": (0.016, -0.05, 0.09),
        "halftone": (0.015, -0.05, 0.08),
        "night": (0.009, -0.06, 0.08),
    }
    lifts = tuple(
        replace(lift, **dict(zip(("expected", "expected_low", "expected_high"), expected[lift.arm], strict=True)))
        if lift.arm in expected
        else lift
        for lift in lift_rows(rows, 2.5, {"ink": 0.00046})
    )
    observed = {arm: sum(r.impressions for r in rows if r.arm == arm) // 3 for arm in arms}
    mean = sum(observed.values()) / len(arms)
    return ExperimentReport(
        name="espresso-autumn",
        title="Slow mornings, strong coffee",
        advertiser="Nordlys Kaffe",
        campaign="Autumn 2026",
        phase="promoted",
        look=3,
        looks=3,
        verdict=VerdictView("promote", "ink", (ReasonView("beats_control", {"arm": "ink", "p_adjusted": 0.00046}),)),
        decision=DecisionView(
            "promoted", "ink", at(23, 0, 10), "job:promote", undo_command="adstyle experiment rollback espresso-autumn"
        ),
        metric=CTR,
        arms=arm_rows(rows, {"original": 0.002, "ink": 0.984, "watercolour": 0.011, "halftone": 0.0, "night": 0.003}),
        lifts=lifts,
        looks_taken=looks,
        daily=rows,
        guardrails=(
            GuardrailRow(
                MetricView("conversion-rate", "conversions", "units"),
                "ink",
                0.0121,
                0.0124,
                0.0248,
                -0.031,
                0.081,
                0.05,
                "held",
            ),
        ),
        health=HealthView(
            sample_ratio_p=0.41,
            sample_ratio_ok=True,
            units=tuple(ArmUnits(arm, mean, observed[arm]) for arm in arms),
            crossover_units=14,
            invalid_impressions=tuple(ArmCount(arm, 310 + 7 * n) for n, arm in enumerate(arms)),
            repeated_clicks=128,
            unmatched_clicks=37,
            days_expected=21,
            days_covered=21,
            mature_share=0.71,
            balance=(("device", 0.34), ("country", 0.08)),
            capped_units=(ArmCount("ink", 3), ArmCount("night", 1)),
            deliveries=(
                DeliveryRow("impressions-2026-11-20.csv.gz", "impression", 7_412, 7_391, 18, (("ragged_row", 3),)),
                DeliveryRow("impressions-2026-11-21.csv.gz", "impression", 6_218, 6_218, 0, ()),
                DeliveryRow(
                    "clicks-2026-11-21.jsonl",
                    "click",
                    214,
                    198,
                    11,
                    (("bad_timestamp", 2), ("missing_reference", 2), ("unterminated_line", 1)),
                ),
            ),
        ),
        gallery=gallery(arms),
        timeline=(
            MilestoneRow(at(30, 9, 12, month=10), "created", "Ingrid Solberg", {}),
            MilestoneRow(at(1, 16, 40), "approved", "Ingrid Solberg", {}),
            MilestoneRow(at(2, 0, 0), "started", "job:analyse", {}),
            MilestoneRow(at(9), "judged", "job:analyse", {"look": 1, "verdict": "keep_running", "arm": None}),
            MilestoneRow(at(16), "judged", "job:analyse", {"look": 2, "verdict": "keep_running", "arm": None}),
            MilestoneRow(at(23), "judged", "job:analyse", {"look": 3, "verdict": "promote", "arm": "ink"}),
            MilestoneRow(at(23, 0, 6), "concluded", "job:analyse", {"arm": "ink"}),
            MilestoneRow(at(23, 0, 10), "promoted", "job:promote", {"arm": "ink"}),
        ),
        method=replace(
            method(3, "user", "9f2c41d0"), ends_on_harm=True, futility_lift=0.05, balance_p=0.001, mature_share=0.5,
            repeat_seconds=30, impressions_an_hour=360, clicks_an_hour=60
        ),
        secondary=(
            SecondaryRow(MetricView("revenue-per-unit", "value_micros", "units"), "ink", 412_300.0, 431_800.0, 0.0473,
                         -0.081, 0.19, 0.44),
            SecondaryRow(MetricView("revenue-per-unit", "value_micros", "units"), "night", 412_300.0, 377_100.0,
                         -0.0854, -0.2, 0.03, 0.31),
        ),
        segments=(
            SegmentView(
                column="device", relative=True, differs=(("ink", 0.021), ("night", 0.83)),
                rows=tuple(
                    SegmentRow(segment, arm, units, lift, p)
                    for segment, units, lifts_of in (
                        ("desktop", 3_120, {"ink": (0.04, 0.71), "night": (0.03, 0.94)}),
                        ("phone", 5_904, {"ink": (0.27, 0.0004), "night": (0.01, 1.0)}),
                        ("(unknown)", 212, {"ink": (None, 1.0), "night": (-0.12, 1.0)}),
                    )
                    for arm, (lift, p) in lifts_of.items()
                ),
            ),
        ),
    )  # fmt: skip


def running() -> ExperimentReport:
    arms = ("original", "poster", "pencil")
    rows = daily(date(2026, 11, 16), 7, {"original": 0.021, "poster": 0.0226, "pencil": 0.0204}, 2_300, seed=2)
    lifts = lift_rows(rows, 4.0, {"poster": 0.38})
    return ExperimentReport(
        name="city-bikes-winter",
        title="Ride through winter",
        advertiser="Bysykkel",
        campaign="Winter pass",
        phase="running",
        look=1,
        looks=4,
        verdict=VerdictView(
            "keep_running",
            None,
            (
                ReasonView("not_significant", {"arm": "poster", "p_adjusted": 0.38}),
                ReasonView("wait_next_look", {"look": 1, "looks": 4}),
            ),
        ),
        decision=DecisionView("waiting", next_command="adstyle experiment stop city-bikes-winter"),
        metric=CTR,
        arms=arm_rows(rows, {"original": 0.13, "poster": 0.83, "pencil": 0.04}),
        lifts=lifts,
        looks_taken=(LookRow(1, at(23), lifts, "keep_running"),),
        daily=rows,
        guardrails=(),
        health=HealthView(
            sample_ratio_p=0.73,
            sample_ratio_ok=True,
            units=tuple(ArmUnits(arm, 5_120.0, n) for arm, n in zip(arms, (5_098, 5_171, 5_091), strict=True)),
            crossover_units=3,
            invalid_impressions=(),
            repeated_clicks=40,
            unmatched_clicks=6,
            days_expected=7,
            days_covered=7,
            deliveries=(),
        ),
        gallery=gallery(arms),
        timeline=(MilestoneRow(at(16, 0, 0), "started", "Jonas Berg", {}),),
        method=method(4, "device", "17be0a55", "propose"),
    )


def invalid() -> ExperimentReport:
    arms = ("original", "halftone")
    rows = daily(date(2026, 11, 16), 6, {"original": 0.018, "halftone": 0.0196}, 900, seed=8)
    lifts = lift_rows(rows, 3.2, {})
    return ExperimentReport(
        name="tea-gift-box",
        title="A box of afternoons",
        advertiser="Lindqvist Te",
        campaign="Gifts",
        phase="running",
        look=1,
        looks=3,
        verdict=VerdictView(
            "invalid",
            None,
            (
                ReasonView("sample_ratio_mismatch", {"p": 3.1e-9, "threshold": 0.001}),
                ReasonView("coverage", {"covered": 6, "expected": 7, "threshold": 0.9}),
            ),
        ),
        decision=DecisionView("waiting", next_command="adstyle experiment stop tea-gift-box"),
        metric=CTR,
        arms=arm_rows(rows, {"original": 0.21, "halftone": 0.79}),
        lifts=lifts,
        looks_taken=(LookRow(1, at(23), lifts, "invalid"),),
        daily=rows,
        guardrails=(),
        health=HealthView(
            sample_ratio_p=3.1e-9,
            sample_ratio_ok=False,
            units=(ArmUnits("original", 1_742.0, 1_912), ArmUnits("halftone", 1_742.0, 1_572)),
            crossover_units=4,
            invalid_impressions=(ArmCount("original", 12), ArmCount("halftone", 388)),
            invalid_rules=(
                ("data_centre", (ArmCount("halftone", 379),)),
                ("declared_bot", (ArmCount("original", 12), ArmCount("halftone", 9))),
            ),
            repeated_clicks=9,
            click_rules=(
                ("declared_bot", (ArmCount("halftone", 4),)),
                ("impossible_rate", (ArmCount("halftone", 61),)),
                ("repeated_click", (ArmCount("original", 7), ArmCount("halftone", 2))),
            ),
            unmatched_clicks=2,
            days_expected=7,
            days_covered=6,
            deliveries=(
                DeliveryRow("impressions-2026-11-19.csv", "impression", 2_100, 1_731, 0, (("unknown_arm", 369),)),
            ),
        ),
        gallery=gallery(arms),
        timeline=(MilestoneRow(at(16, 0, 0), "started", "Sara Lindqvist", {}),),
        method=method(3, "user", "c0ffee12"),
    )


def leaderboard() -> BoardView:
    rows = (
        ("ink#4f1c03a8d2b1", 4, 0.103, 0.038, 0.172, -0.02, 0.24, 0.998),
        ("watercolour#4f1c11a8d2b1", 3, 0.021, -0.031, 0.076, -0.09, 0.14, 0.79),
        ("poster#4f1c06a8d2b1", 1, 0.008, -0.08, 0.104, -0.13, 0.17, 0.55),
        ("halftone#4f1c08a8d2b1", 3, -0.024, -0.077, 0.032, -0.13, 0.09, 0.19),
    )
    said = {"probability_better": 0.998, "experiments": 4, "expected": 0.103, "low": 0.038, "high": 0.172}
    untried = {"expected": 0.02, "low": -0.17, "high": 0.25, "probability_best": 0.11}
    return BoardView(
        CTR, "original", 6, tuple(StyleRow(*row) for row in rows),
        (
            ("ink#4f1c03a8d2b1", ReasonView("style_proven", said | {"probability_best": 0.42})),
            ("linocut#77e0a1b2c3d4", ReasonView("style_untried", untried)),
        ),
    )  # fmt: skip


def example_report(*experiments: ExperimentReport) -> WeeklyReport:
    """The example week with the three experiments, or with those given."""
    return WeeklyReport(
        workspace="Nordlys Media",
        week="2026-W47",
        start=date(2026, 11, 16),
        end=date(2026, 11, 22),
        as_of=datetime(2026, 11, 23, tzinfo=UTC),
        sections=experiments or (winner(), running(), invalid()),
        leaderboard=() if experiments else (leaderboard(),),
    )
