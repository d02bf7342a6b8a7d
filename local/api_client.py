"""The API as its users see it: plain HTTP with a token, for the demo and the tests."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

POLL_SECONDS = 0.1  # between two looks at something that changes by itself
DEADLINE_SECONDS = 300


class ApiError(Exception):
    """An answer that is not a success, with the API's own words."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.body = response.json() if "json" in response.headers.get("Content-Type", "") else {"detail": response.text}
        super().__init__(f"{response.request.method} {response.url}: {self.status} {self.body.get('detail')}")


class ApiClient:
    """One user's session with one platform."""

    def __init__(self, api_url: str, token: str | None = None) -> None:
        self.api_url = api_url
        self.username: str | None = None
        self.session = requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request and return the answer, whatever it is."""
        return self.session.request(method, self.api_url + path, timeout=60, **arguments)

    def call(self, method: str, path: str, json: Any = None, **arguments: Any) -> Any:
        """Send a request and return the JSON of a successful answer; raises ApiError."""
        response = self.request(method, path, json=json, **arguments)
        if not response.ok:
            raise ApiError(response)
        return response.json() if response.content else None

    def register(self, username: str, email: str, password: str) -> None:
        """Make an account."""
        self.call("POST", "/auth/register", {"username": username, "email": email, "password": password})

    def login(self, username: str, password: str) -> None:
        """Log in; later requests carry the ID token."""
        tokens = self.call("POST", "/auth/login", {"username": username, "password": password})
        self.username = username
        self.session.headers["Authorization"] = f"Bearer {tokens['id_token']}"

    def upload(self, content: bytes, filename: str, **fields: Any) -> dict[str, Any]:
        """Make a data set from bytes: plan, parts straight to S3, complete. Return it as it is then (processing)."""
        file = {"filename": filename, "size": len(content)}
        dataset = self.call("POST", "/datasets", {"type": "tabular", "format": "csv", "files": [file]} | fields)
        self.upload_parts(content, dataset["uploads"][filename])
        return self.call("POST", f"/datasets/{dataset['id']}/complete")

    @staticmethod
    def upload_parts(content: bytes, plan: dict[str, Any]) -> None:
        """PUT every part of a plan to its presigned URL."""
        for part in plan["parts"]:
            body = content[part["offset"] : part["offset"] + part["size"]]
            # A fresh connection and no token: the URL is the permission.
            requests.put(part["url"], data=body, timeout=60).raise_for_status()

    def follow(self, path: str, over: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
        """Yield a record each time it has changed, until `over` says that it is at rest; raises TimeoutError."""
        deadline, seen = time.monotonic() + DEADLINE_SECONDS, None
        while time.monotonic() < deadline:
            record = self.call("GET", path)
            if record != seen:
                yield record
                seen = record
            if over(record):
                return
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"{path} did not come to rest in {DEADLINE_SECONDS} seconds; the last answer was {seen}")

    def wait(self, path: str, *statuses: str) -> dict[str, Any]:
        """Return a record once its status is one of those given; raises TimeoutError."""
        *_, last = self.follow(path, lambda found: found["status"] in statuses)
        return last
