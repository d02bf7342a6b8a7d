"""Warm clients, each asking again as soon as it is answered: four times of five to read, else to change something."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from local.api_client import ApiClient

READS = 0.8
WARM_UPS = 3
PLAN = {"name": "Load", "type": "tabular", "format": "csv", "files": [{"filename": "rows.csv", "size": 1000}]}
TEXT = {"text": "Ada Lovelace liked the wonderful engine that Charles Babbage built in London.", "language": "en"}


@dataclass(frozen=True)
class Answer:
    """How one request went: what was asked, how long it took in seconds, and what is wrong with it, if anything."""

    asked: str
    seconds: float
    wrong: str | None


@dataclass
class Client:
    """A user of the API with records of their own, so that nobody changes what another is changing."""

    api: ApiClient
    dice: random.Random
    kept: str = ""  # the data set that is changed
    plans: list[str] = field(default_factory=list)  # those that come and go
    answers: list[Answer] = field(default_factory=list)

    def ask(self, method: str, path: str, name: str | None = None, body: Any = None) -> Any:
        """Send a request and note how it went; return the JSON of a successful answer, else None."""
        began = time.perf_counter()
        try:
            response = self.api.request(method, path, json=body)
            found = response.json() if response.ok and response.content else None
            wrong = None if response.ok else f"{response.status_code} {response.text[:200]}"
        except Exception as error:  # a request that fails in whatever way is a failed request
            found, wrong = None, f"{type(error).__name__}: {error}"
        self.answers.append(Answer(f"{method} {name or path}", time.perf_counter() - began, wrong))
        return found

    # ------------------------------------------------------------------------------------------------- reads

    def read_health(self) -> None:
        self.ask("GET", "/health")

    def read_dashboard(self) -> None:
        self.ask("GET", "/dashboard")

    def read_jobs(self) -> None:
        self.ask("GET", "/jobs?limit=20", "/jobs")

    def read_datasets(self) -> None:
        self.ask("GET", "/datasets?limit=20", "/datasets")

    def read_dataset(self) -> None:
        self.ask("GET", f"/datasets/{self.kept}", "/datasets/{id}")

    def read_models(self) -> None:
        self.ask("GET", f"/ai-models/{self.api.username}", "/ai-models/{user_id}")

    def read_text(self) -> None:
        self.ask("POST", "/analyze", body=TEXT)

    # ------------------------------------------------------------------------------------------------ writes

    def plan(self) -> None:
        made = self.ask("POST", "/datasets", body=PLAN)
        if made:
            self.plans.append(made["id"])

    def forget(self) -> None:
        if self.plans:
            self.ask("DELETE", f"/datasets/{self.plans.pop()}", "/datasets/{id}")
        else:
            self.plan()

    def describe(self) -> None:
        body = {"description": f"Number {self.dice.randrange(10**6)}"}
        self.ask("PATCH", f"/datasets/{self.kept}", "/datasets/{id}", body)

    def tag(self) -> None:
        body = {"tags": [f"tag-{self.dice.randrange(100)}"]}
        self.ask("PATCH", f"/datasets/{self.kept}", "/datasets/{id}", body)

    # ------------------------------------------------------------------------------------------------- a life

    def reads(self) -> list[Callable[[], None]]:
        """Everything that reads."""
        own = [self.read_dataset, self.read_models]
        return [self.read_health, self.read_dashboard, self.read_jobs, self.read_datasets, *own, self.read_text]

    def writes(self) -> list[Callable[[], None]]:
        """Everything that changes something."""
        return [self.plan, self.forget, self.describe, self.tag]

    def warm_up(self) -> None:
        """Make the record that will be changed, and ask for everything until all of it is answered.

        Sixteen times every function starts here; on a busy machine one may take longer than API Gateway waits.
        """
        self.kept = self.api.call("POST", "/datasets", PLAN)["id"]
        for _ in range(WARM_UPS):
            self.answers.clear()
            for call in (*self.reads(), *self.writes()):
                call()
            if not failures(self.answers):
                break
        assert not failures(self.answers), failures(self.answers)
        self.answers.clear()

    def live(self, until: float) -> None:
        """Ask until the time comes, by time.perf_counter()."""
        while time.perf_counter() < until:
            self.dice.choice(self.reads() if self.dice.random() < READS else self.writes())()

    def clean_up(self) -> None:
        """Delete the records, then the user."""
        for dataset in [*self.plans, *([self.kept] if self.kept else [])]:
            self.api.call("DELETE", f"/datasets/{dataset}")
        self.api.call("DELETE", "/auth/me")


def live_together(clients: list[Client], seconds: float) -> float:
    """Let every client warm up, then all ask at once for so many seconds; return how long it took to the last."""
    began = 0.0

    def start() -> None:
        nonlocal began
        began = time.perf_counter()

    warm = threading.Barrier(len(clients), start)

    def one(client: Client) -> None:
        try:
            client.warm_up()
        except BaseException:
            warm.abort()  # the others shall not wait for one that never comes
            raise
        warm.wait()
        client.live(began + seconds)

    with ThreadPoolExecutor(len(clients)) as pool:
        errors = [done.exception() for done in [pool.submit(one, client) for client in clients]]
    for error in errors:
        if error and not isinstance(error, threading.BrokenBarrierError):
            raise error  # the cause; the others only waited for it
    return time.perf_counter() - began


def told(answers: list[Answer], seconds: float) -> str:
    """Return the figures as they are printed: of all, then of each route, the slowest last."""
    by_route: defaultdict[str, list[float]] = defaultdict(list)
    for answer in answers:
        by_route[answer.asked].append(answer.seconds)
    writes = sum(not asked.startswith(("GET", "POST /analyze")) for asked in (answer.asked for answer in answers))
    every = [answer.seconds for answer in answers]
    lines = [
        f"{len(every)} requests in {seconds:.1f} s, {writes / len(every):.0%} writes: {len(every) / seconds:.0f}"
        f" a second, p50 {percentile(every, 50) * 1000:.0f} ms, p99 {percentile(every, 99) * 1000:.0f} ms"
    ]
    for asked, took in sorted(by_route.items(), key=lambda found: percentile(found[1], 50)):
        p50, p99 = percentile(took, 50) * 1000, percentile(took, 99) * 1000
        lines.append(f"  {asked:<30} {len(took):>6}  p50 {p50:>5.0f} ms  p99 {p99:>5.0f} ms")
    return "\n".join(lines)


def percentile(values: list[float], percent: int) -> float:
    """Return the smallest value that so many percent do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def failures(answers: list[Answer]) -> Counter[str]:
    """What went wrong, and how often."""
    return Counter(f"{answer.asked}: {answer.wrong}" for answer in answers if answer.wrong)
