"""What stage `dev` costs while nobody uses it, computed from its templates and a dated table of prices.

Run: python -m pytest tests/infra/test_idle_bill.py
"""

import json
from typing import Any

import pytest

from tests.infra.synthesis import ROOT, Stage, readable

PRICES = json.loads((ROOT / "tests" / "infra" / "idle_prices.json").read_text())
LIMIT = 10  # USD a month
MINUTES_A_MONTH = 30 * 24 * 60


def idle_bill(stage: Stage) -> dict[str, float]:
    """Return USD a month by what is paid for; raises KeyError for a resource type without a price."""
    resources = [*stage.data["Resources"].values(), *stage.platform["Resources"].values()]
    standing = sum(PRICES["per_month"][resource["Type"]] for resource in resources)
    calls, assumed = scheduled_calls(stage), PRICES["assumed"]
    gb_seconds = sum(count * megabytes / 1024 for count, megabytes in calls) * assumed["seconds_per_reconcile"]
    number = sum(count for count, _ in calls)
    return {
        "standing charges": standing,
        "metrics sent": PRICES["assumed"]["metrics_sent_idle"] * PRICES["custom_metric"],
        "scheduled function calls": number * PRICES["lambda_request"] + gb_seconds * PRICES["lambda_gb_second_arm64"],
        "their logs": number * assumed["log_bytes_per_reconcile"] / 1e9 * PRICES["log_gb_ingested"],
        "their reads": number * assumed["read_units_per_reconcile"] * PRICES["dynamodb_read_unit"],
        "container images": assumed["container_image_gb"] * PRICES["container_image_gb_month"],
        "deployment files": assumed["assets_gb"] * PRICES["asset_gb_month"],
    }


def scheduled_calls(stage: Stage) -> list[tuple[int, int]]:
    """Return (calls a month, MiB of memory) for each target of each schedule."""
    functions = stage.resources("AWS::Lambda::Function")
    memory = {f"<{id}.Arn>": function["MemorySize"] for id, function in functions.items()}
    calls = []
    for rule in stage.resources("AWS::Events::Rule").values():
        if "ScheduleExpression" in rule:
            minutes = int(rule["ScheduleExpression"].removeprefix("rate(").split(" ")[0])
            calls += [(MINUTES_A_MONTH // minutes, memory[readable(target["Arn"])]) for target in rule["Targets"]]
    return calls


def test_an_idle_stage_costs_less_than_ten_dollars_a_month(dev: Stage, record_property: Any) -> None:
    bill = idle_bill(dev)
    parts = ", ".join(f"{what} {usd:.2f}" for what, usd in bill.items())
    shown = f"{sum(bill.values()):.2f} ({parts})"
    record_property(f"idle bill of dev, USD a month, prices of {PRICES['as_of']}", shown)
    assert bill["scheduled function calls"] > 0
    # One dashboard and ten alarms; an account's first three and ten are free, which is not counted on.
    assert bill["standing charges"] == pytest.approx(3 + 10 * 0.1)
    assert sum(bill.values()) < LIMIT


def test_what_is_billed_by_the_hour_has_its_switch_off(dev: Stage) -> None:
    for function in dev.resources("AWS::Lambda::Function").values():
        assert "SnapStart" not in function
        assert "ReservedConcurrentExecutions" not in function
    for group in dev.resources("AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] <= 30, "logs that are kept for ever cost for ever"
    assert all("KmsKeyId" not in group for group in dev.resources("AWS::Logs::LogGroup").values())
