"""What an instance costs in an hour, from the dated table beside this file: for estimates, and said to be one."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Use = Literal["hosting", "training"]
TABLE = Path(__file__).with_name("prices.json")


@dataclass(frozen=True)
class Price:
    """USD per instance and hour, None where the table has none; `note` says where it is from, or what is missing."""

    usd: float | None
    note: str


def price(use: Use, instance_type: str | None, region: str | None = None) -> Price:
    """Return the price of an instance type, by default in the function's own region."""
    region = region or os.environ.get("AWS_REGION", "")
    found = table()["regions"].get(region, {}).get(instance_type or "", {}).get(use)
    if found is None:
        return Price(None, f"No estimate: the price table has no {use} price of {instance_type} in {region}.")
    source = table()["sources"][found["source"]]
    return Price(found["usd"], f"An estimate by the on-demand price of {instance_type} in {region}. {source}")


@cache
def table() -> dict[str, Any]:
    """Return the table."""
    return json.loads(TABLE.read_text(encoding="utf-8"))
