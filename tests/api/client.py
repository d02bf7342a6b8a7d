"""A client that hands API Gateway's proxy events to a Lambda handler, and reads its answers."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from lambdas.common.app import Handler


@dataclass(frozen=True)
class Answer:
    """What the function answered; `body` is parsed when it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class ApiClient:
    """Calls one function as one user; `group` is the Cognito group, if any."""

    handler: Handler
    username: str
    group: str | None = None

    def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        claims: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        """Send a request; `claims` replaces those of the user's ID token ({} for a route without authorizer).

        The body of the answer is parsed when it is JSON, text when it is text, bytes when it is neither.
        """
        parts = urlsplit(url)
        claims = self.claims() if claims is None else claims
        event = proxy_event(method, parts.path, parts.query, body, claims, content_type)
        answer = self.handler(event, None)
        text = answer["body"]
        if answer.get("isBase64Encoded"):
            text = decoded(base64.b64decode(text))
        headers = {name.lower(): values[-1] for name, values in answer.get("multiValueHeaders", {}).items()}
        headers |= {name.lower(): value for name, value in answer.get("headers", {}).items()}
        is_json = headers.get("content-type", "").startswith("application/json")
        return Answer(answer["statusCode"], headers, json.loads(text) if is_json and text else text)

    def claims(self) -> dict[str, str]:
        """Return the claims of the user's ID token as API Gateway passes them on."""
        claims = {"token_use": "id", "cognito:username": self.username, "email": f"{self.username}@example.org"}
        return claims | ({"cognito:groups": self.group} if self.group else {})

    def get(self, url: str) -> Answer:
        """Send a GET."""
        return self.call("GET", url)

    def post(self, url: str, body: Any = None) -> Answer:
        """Send a POST."""
        return self.call("POST", url, body)

    def post_form(self, url: str, files: dict[str, Any], fields: dict[str, Any]) -> Answer:
        """Send a form with files, as `requests` encodes it."""
        prepared = requests.Request("POST", "http://api", files=files, data=fields).prepare()
        return self.call("POST", url, prepared.body, content_type=str(prepared.headers["Content-Type"]))

    def put(self, url: str, body: Any) -> Answer:
        """Send a PUT."""
        return self.call("PUT", url, body)

    def patch(self, url: str, body: Any) -> Answer:
        """Send a PATCH."""
        return self.call("PATCH", url, body)

    def delete(self, url: str) -> Answer:
        """Send a DELETE."""
        return self.call("DELETE", url)


def decoded(body: bytes) -> str | bytes:
    """Return a body as text if it is text."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def proxy_event(
    method: str, path: str, query: str, body: Any, claims: dict[str, str], content_type: str = "application/json"
) -> dict[str, Any]:
    """Return the event of a REST API (v1) with Lambda proxy integration and a Cognito authorizer.

    Developer guide of API Gateway, "Input format of a Lambda function for proxy integration".
    """
    multi: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):  # API Gateway hands them on decoded
        multi.setdefault(name, []).append(value)
    text = None if body is None else body if isinstance(body, str | bytes) else json.dumps(body)
    content = text.encode() if isinstance(text, str) else text
    context: dict[str, Any] = {
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "stage": "api",
        "apiId": "abcdef1234",
        "resourcePath": "/{proxy+}",
        "httpMethod": method,
        "path": f"/api{path}",
        "protocol": "HTTP/1.1",
        "identity": {"sourceIp": "127.0.0.1", "userAgent": "test"},
    }
    if claims:
        context["authorizer"] = {"claims": claims}
    headers = {"Host": "api.example.org", "Content-Type": content_type, "X-Forwarded-Proto": "https"}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in multi.items()} or None,
        "multiValueQueryStringParameters": multi or None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": context,
        # The stage's binary media types are */*, so every body arrives in base64.
        "body": None if content is None else base64.b64encode(content).decode(),
        "isBase64Encoded": content is not None,
    }
