"""Lists and searches of the model registry beside MLflow's, over 2,000 and over 100,000 versions of one user.
`python -m benchmarks.registry`

Both servers run on this machine, hold the same versions and must give the same rows; requests alternate. Ours goes
through the whole platform: front door, authorizer, function, emulated DynamoDB. The emulator's milliseconds are not
DynamoDB's, so what ours asks of DynamoDB is counted too: that is the same on AWS.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests

from benchmarks import cold_start, registry_rows
from benchmarks.dispatch import PASSWORD, platform
from benchmarks.meter import Meter
from benchmarks.registry_mlflow import Mlflow, row
from lambdas.common import aws
from lambdas.common.app import Handler
from lambdas.common.observability import logger
from lambdas.models.schemas import ModelVersion
from local.api_client import ApiClient
from local.home import REGION, Home

SIZES = (2_000, 100_000)
OWNER = "bench"
ROUNDS = 21
GOALS = {"growth_of_requests_and_items": 1.0, "items_read_per_item_returned": 2.0, "p50_of_all_to_mlflow": 0.5}
HANDLER = "lambdas.models.handler.handler"


@dataclass(frozen=True)
class Query:
    """One request for a page, as each side is asked it."""

    name: str
    ours: dict[str, Any]
    mlflow: dict[str, Any]
    limit: int


QUERIES = [
    Query("list", {}, {}, 100),
    Query("one_tag", {"tags": "area-churn"}, {"filter": "tags.area = 'churn'"}, 100),
    Query(
        "two_tags",
        {"tags": "area-churn,stage-0"},
        {"filter": "tags.area = 'churn' AND tags.stage = '0'"},
        20,
    ),
    Query("text", {"query": "forest"}, {"filter": "name LIKE '%forest%'"}, 100),
]


class Ours:
    """The platform with its one user, asked over HTTP or straight in this process."""

    def __init__(self, home: Home) -> None:
        running, key = home.read("platform.json"), home.root_key()
        assert running
        address = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{running['emulator_port']}", "AWS_REGION": REGION}
        address |= {"AWS_ACCESS_KEY_ID": key["access_key_id"], "AWS_SECRET_ACCESS_KEY": key["secret_access_key"]}
        os.environ.update(address | {"AWS_DEFAULT_REGION": REGION, "STAGE": "local"})
        pages = boto3.client("lambda").get_paginator("list_functions").paginate()
        functions = [function for page in pages for function in page["Functions"]]
        os.environ.update(next(one for one in functions if one["Handler"] == HANDLER)["Environment"]["Variables"])
        from lambdas.models.handler import handler

        logger.setLevel("WARNING")  # standard output is for the figures
        self.handler: Handler = handler
        self.emulator = address["AWS_ENDPOINT_URL"]
        self.api = ApiClient(f"http://localhost:{running['port']}/api")
        self.api.register(OWNER, "bench@example.com", PASSWORD)

    def fill(self, count: int) -> None:
        """Store as many versions, and let the platform save them: it does so beside its work."""
        dynamodb, versions = aws.client("dynamodb"), list(registry_rows.rows(OWNER, count))
        registry_rows.write_all(dynamodb, os.environ["MODELS_TABLE"], registry_rows.record_items(versions))
        registry_rows.write_all(dynamodb, os.environ["MODELS_INDEX_TABLE"], registry_rows.index_items(versions))
        requests.post(f"{self.emulator}/_slipway/save", timeout=600).raise_for_status()
        self.api.login(OWNER, PASSWORD)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of an answer over HTTP."""
        return self.api.call("GET", f"/ai-models{path}", params=parameters)

    def in_process(self, path: str, **parameters: Any) -> dict[str, float]:
        """Ask the function in this process; return its milliseconds, those of them in DynamoDB's, and the counts."""
        event = cold_start.event(f"/ai-models{path}")
        claims = {"token_use": "id", "cognito:username": OWNER}
        values = {name: str(value) for name, value in parameters.items()}
        event |= {
            "queryStringParameters": values,
            "multiValueQueryStringParameters": {name: [value] for name, value in values.items()},
            "requestContext": {"requestId": "bench", "stage": "api", "authorizer": {"claims": claims}},
        }
        with Meter(aws.client("dynamodb")) as meter:
            began = time.perf_counter()
            answer = self.handler(event, None)
            total = time.perf_counter() - began
        assert answer["statusCode"] == 200, answer
        return {
            "total": total * 1000,
            "dynamodb": meter.seconds * 1000,
            "requests": meter.requests.total(),
            "items": meter.items,
        }


def main() -> int:
    """Print the figures as JSON; return 1 when a count, which does not depend on the machine, misses its goal."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-mlflow-") as folder:
        home = Home(Path(tempfile.mkdtemp(prefix="slipway-bench-")))
        mlflow = Mlflow(Path(folder))
        mlflow.create()
        platform("up", home)
        try:
            ours = Ours(home)
            figures = {size: measure(ours, mlflow, size) for size in SIZES}
        finally:
            platform("reset", home)
            shutil.rmtree(home.path)
    result = summary(figures)
    print(json.dumps({"registry": result}, indent=1))
    reached = result["reached"]
    return int(not (reached["growth_of_requests_and_items"] and reached["items_read_per_item_returned"]))


def measure(ours: Ours, mlflow: Mlflow, size: int) -> dict[str, dict[str, float]]:
    """Fill both registries up to a size; return the figures of each request."""
    versions = list(registry_rows.rows(OWNER, size))
    say(f"storing {size:,} versions")
    mlflow.fill(versions[mlflow.stored :])
    ours.fill(size)
    with mlflow.serving():
        say(f"asking for pages of {size:,}")
        return {"get": ask_one(ours, mlflow, versions)} | {query.name: ask(ours, mlflow, query) for query in QUERIES}


def ask(ours: Ours, mlflow: Mlflow, query: Query) -> dict[str, float]:
    """Ask both sides for the first page; return the figures."""
    here = {**query.ours, "limit": query.limit}
    there = {**query.mlflow, "max_results": query.limit}
    path = f"/search/{OWNER}" if query.ours else f"/{OWNER}"

    def our_rows() -> list[tuple[str, str]]:
        return [(version["model_id"], version["version"]) for version in ours.get(path, **here)["items"]]

    def mlflow_rows() -> list[tuple[str, str]]:
        return [row(version) for version in mlflow.get("search", **there)["model_versions"]]

    return compared(our_rows, mlflow_rows, query.limit, lambda: ours.in_process(path, **here))


def ask_one(ours: Ours, mlflow: Mlflow, versions: list[ModelVersion]) -> dict[str, float]:
    """Ask both sides for single versions, all over the registry; return the figures."""
    chosen = [versions[number * len(versions) // 97] for number in range(97)]
    mine, theirs, again = iter(chosen), iter(chosen), iter(chosen)

    def our_row() -> list[tuple[str, str]]:
        wanted = next(mine)
        found = ours.get(f"/{OWNER}/{wanted.model_id}", version=wanted.version)
        return [(found["model_id"], found["version"])]

    def mlflow_row() -> list[tuple[str, str]]:
        wanted = next(theirs)
        name = {"name": wanted.model_id, "version": wanted.version.removeprefix("v")}
        return [row(mlflow.get("get", **name)["model_version"])]

    def counted() -> dict[str, float]:
        wanted = next(again)
        return ours.in_process(f"/{OWNER}/{wanted.model_id}", version=wanted.version)

    return compared(our_row, mlflow_row, 1, counted)


def compared(
    ours: Callable[[], Any], mlflow: Callable[[], Any], rows: int, counted: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Take turns; return the medians in milliseconds, and what ours asked of DynamoDB."""
    for _ in range(3):
        found, theirs = ours(), mlflow()
        assert found == theirs, (found[:3], theirs[:3])
        assert len(found) == rows, f"{len(found)} rows instead of {rows}"
        counted()
    turns = [(milliseconds(ours), milliseconds(mlflow), counted()) for _ in range(ROUNDS)]
    inside = {name: statistics.median(one[name] for _, _, one in turns) for name in turns[0][2]}
    ours_ms, mlflow_ms = [turn[0] for turn in turns], [turn[1] for turn in turns]
    our_p50, mlflow_p50 = statistics.median(ours_ms), statistics.median(mlflow_ms)
    return {
        "rows": rows,
        "mlflow_p50_ms": round(mlflow_p50, 1),
        "ours_p50_ms": round(our_p50, 1),
        "ratio": round(our_p50 / mlflow_p50, 2),
        "ratio_of_the_fastest": round(min(ours_ms) / min(mlflow_ms), 2),
        "ours_in_front_door_and_function_start_ms": round(our_p50 - inside["total"], 1),
        "ours_in_dynamodb_calls_ms": round(inside["dynamodb"], 1),
        "ours_in_our_code_ms": round(inside["total"] - inside["dynamodb"], 1),
        "requests": inside["requests"],
        "items_read": inside["items"],
    }


def milliseconds(call: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def summary(figures: dict[int, dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Return the figures, what becomes of them from the small size to the large, and which goals are reached."""
    small, large = (figures[size] for size in SIZES)
    growth = {
        name: {
            count: round(large[name][count] / small[name][count], 2)
            for count in ("requests", "items_read", "ours_p50_ms", "mlflow_p50_ms")
        }
        for name in large
    }
    counts = [one[count] for one in growth.values() for count in ("requests", "items_read")]
    # A version by name is its pointer and its record: two reads for one, whatever there is besides.
    reads = max(one["items_read"] / one["rows"] for one in large.values())
    mix = sum(one["ours_p50_ms"] for one in large.values()) / sum(one["mlflow_p50_ms"] for one in large.values())
    found = dict(zip(GOALS, (max(counts), round(reads, 2), round(mix, 2)), strict=True))
    reached = {name: found[name] <= goal for name, goal in GOALS.items()}
    by_size = {f"{size} versions": one for size, one in figures.items()}
    return {**by_size, "growth": growth, "goals": GOALS, "found": found, "reached": reached}


def say(progress: str) -> None:
    """Tell whoever waits what is being done."""
    print(progress, "...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
