"""What a piece of work asks of DynamoDB: requests, items read, and the time spent waiting for them.

Counted from the answers as botocore passes them on, because the emulator's own figures of capacity are not AWS's.
"""

import time
from collections import Counter
from typing import Any, Self

READS = {"GetItem", "BatchGetItem", "Query", "Scan"}


class Meter:
    """Counts what a boto3 DynamoDB client does while the meter is open."""

    def __init__(self, client: Any) -> None:
        self.events = client.meta.events
        self.requests: Counter[str] = Counter()
        self.items = 0  # evaluated: what a filter drops counts
        self.seconds = 0.0
        self.began = 0.0

    def __enter__(self) -> Self:
        self.events.register("before-parameter-build.dynamodb", self.before)
        self.events.register("after-call.dynamodb", self.after)
        return self

    def __exit__(self, *_: object) -> None:
        self.events.unregister("before-parameter-build.dynamodb", self.before)
        self.events.unregister("after-call.dynamodb", self.after)

    def before(self, **_: Any) -> None:
        self.began = time.perf_counter()

    def after(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self.seconds += time.perf_counter() - self.began
        self.requests[model.name] += 1
        if model.name in READS:
            found = sum(len(items) for items in parsed.get("Responses", {}).values())
            self.items += parsed.get("ScannedCount", 0) + ("Item" in parsed) + found
