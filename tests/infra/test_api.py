"""The API as it is deployed: what is open, and what API Gateway itself answers.

Run: python -m pytest tests/infra/test_api.py
"""

import json
from collections.abc import Callable
from typing import Any

from tests.infra.synthesis import ROOT, Stage, readable

Stages = Callable[[str], Stage]
PUBLIC = {"ANY /auth/{proxy+}", "GET /health", "GET /docs", "GET /openapi.json"}
PROTECTED = {
    *("ANY /datasets", "ANY /datasets/{proxy+}", "ANY /ai-models", "ANY /ai-models/{proxy+}"),
    *("ANY /jobs", "ANY /jobs/{proxy+}", "GET /training-types", "ANY /endpoints", "ANY /endpoints/{proxy+}"),
    *("GET /stats/{proxy+}", "GET /dashboard", "GET /metrics"),
    "POST /register",
    "POST /analyze",
    *("ANY /auth/me", "ANY /auth/users", "ANY /auth/users/{proxy+}"),
}


def routes(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return the API's methods by `VERB /path`."""
    resources = stage.resources("AWS::ApiGateway::Resource")

    def path(reference: dict[str, Any]) -> str:
        if "Ref" not in reference:  # the root: an attribute of the API
            return ""
        resource = resources[reference["Ref"]]
        return f"{path(resource['ParentId'])}/{resource['PathPart']}"

    methods = stage.resources("AWS::ApiGateway::Method").values()
    return {f"{method['HttpMethod']} {path(method['ResourceId'])}": method for method in methods}


def test_only_the_listed_routes_are_open_to_callers_without_a_token(stage: Stage) -> None:
    found = {route: method for route, method in routes(stage).items() if not route.startswith("OPTIONS")}
    assert {route for route, method in found.items() if method["AuthorizationType"] == "NONE"} == PUBLIC
    protected = {route for route, method in found.items() if method["AuthorizationType"] == "COGNITO_USER_POOLS"}
    assert protected == PROTECTED
    assert all("AuthorizerId" in found[route] for route in protected)


def test_every_path_of_the_description_reaches_a_function(dev: Stage) -> None:
    described = json.loads((ROOT / "openapi.json").read_text())["paths"]
    found = [route.split(" ")[1] for route in routes(dev) if not route.startswith("OPTIONS")]
    greedy = tuple(path.removesuffix("{proxy+}") for path in found if path.endswith("{proxy+}"))
    assert [path for path in described if path not in found and not path.startswith(greedy)] == []


def test_every_path_answers_a_browsers_preflight(stage: Stage) -> None:
    found = routes(stage)
    paths = {route.split(" ")[1] for route in found}
    assert {f"OPTIONS {path}" for path in paths if path} <= set(found)


def test_each_function_of_the_api_has_one_permission(stage: Stage) -> None:
    permissions = [
        readable(permission["FunctionName"])
        for permission in stage.resources("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
    ]
    assert len(permissions) == len(set(permissions)) == 10


def test_what_api_gateway_answers_by_itself_has_our_shape(dev: Stage) -> None:
    answers = dev.resources("AWS::ApiGateway::GatewayResponse").values()
    for answer in answers:
        assert answer["ResponseParameters"]["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
        body = json.loads(answer["ResponseTemplates"]["application/json"])
        assert set(body) == {"detail", "code", "request_id"}
        assert body["request_id"] == "$context.requestId"
    statuses = {answer["ResponseType"]: answer.get("StatusCode") for answer in answers}
    assert statuses.keys() >= {"DEFAULT_4XX", "DEFAULT_5XX", "UNAUTHORIZED", "THROTTLED", "REQUEST_TOO_LARGE"}
    assert statuses["MISSING_AUTHENTICATION_TOKEN"] == "404"
    bodies = {answer["ResponseType"]: answer["ResponseTemplates"]["application/json"] for answer in answers}
    for kind in ("REQUEST_TOO_LARGE", "DEFAULT_4XX"):  # what a body may end as that no function takes
        assert "POST /ai-models/uploads" in bodies[kind]


def test_requests_are_logged_throttled_and_traced_by_id(dev: Stage) -> None:
    ((_, deployed),) = dev.resources("AWS::ApiGateway::Stage").items()
    assert deployed["StageName"] == "api"
    assert json.loads(deployed["AccessLogSetting"]["Format"])["request_id"] == "$context.requestId"
    (settings,) = deployed["MethodSettings"]
    assert settings["ThrottlingRateLimit"] > 0
    assert settings["DataTraceEnabled"] is False, "bodies must not be logged"


def test_the_account_wide_log_role_outlives_the_stage(dev: Stage) -> None:
    kept = [
        resource["Type"]
        for resource in dev.platform["Resources"].values()
        if resource.get("DeletionPolicy") == "Retain"
    ]
    assert sorted(kept) == ["AWS::ApiGateway::Account", "AWS::IAM::Role"]
