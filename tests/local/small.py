"""A platform with the small template of stack.py, and how the tests of the local cloud look at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.local.stack import template
from tests.platform import Platform


class Small(Platform):
    """A platform with the small stack deployed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, deploy_app=False)
        self.stack: dict[str, str] = {}

    def deploy_stack(self) -> None:
        """Deploy the small stack and let the front door know it."""
        self.stack = self.create_stack("hooks", template())
        self.files.write("deployed.json", {"assembly": "", "api_id": self.stack["Api"], "images": {}})
        self.files.write("outputs.json", {"DatasetsBucket": self.stack["Bucket"], "ApiUrl": self.api_url})

    def item(self, key: str) -> dict[str, Any] | None:
        """The item `key` of the stack's table."""
        return self.client("dynamodb").get_item(TableName=self.stack["Table"], Key={"id": {"S": key}}).get("Item")

    def start_execution(self, machine: str, name: str) -> str:
        """Start an execution called `name`; returns its ARN."""
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=self.stack[machine], name=name, input=f'{{"name": "{name}"}}'
        )
        return answer["executionArn"]

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution once it has ended."""
        client = self.client("stepfunctions")

        def end() -> dict[str, Any] | None:
            described = client.describe_execution(executionArn=execution)
            return None if described["status"] == "RUNNING" else described

        return eventually(end)


def eventually(look: Callable[[], Any], seconds: float = 15.0) -> Any:
    """What `look` returns once that is something; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@contextmanager
def running(folder: Path) -> Iterator[Small]:
    """A platform with the small stack deployed, stopped in the end."""
    platform = Small(folder)
    try:
        platform.up()
        platform.deploy_stack()
        yield platform
    finally:
        platform.down()
