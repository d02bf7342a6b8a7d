"""The CloudWatch dashboard looks for what a stage is called there.  `pytest tests/infra/test_dashboards.py`"""

import json
from typing import Any

from operations.grafana import FILES
from tests.infra.synthesis import Stage

DASHBOARD = json.loads((FILES / "dashboards" / "slipway-cloudwatch.json").read_text())


def targets(namespace: str) -> list[dict[str, Any]]:
    """The dashboard's queries of a namespace, by its metrics' names or by a search."""
    every = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return [found for found in every if found["namespace"] == namespace or f"'{{{namespace}," in found["expression"]]


def test_the_api_has_the_name_that_the_dashboard_asks_for(dev: Stage) -> None:
    (api,) = dev.resources("AWS::ApiGateway::RestApi").values()
    asked = {target["dimensions"]["ApiName"] for target in targets("AWS/ApiGateway")}
    assert {name.replace("$stage", "dev") for name in asked} == {api["Name"]}


def test_functions_are_named_by_their_stack_whose_name_has_the_words_that_are_searched(dev: Stage) -> None:
    assert targets("AWS/Lambda")
    assert all("FunctionName=slipway FunctionName=$stage" in target["expression"] for target in targets("AWS/Lambda"))
    named = {id for id, function in dev.resources("AWS::Lambda::Function").items() if "FunctionName" in function}
    assert named == set(), "these are not named <stack>-<logical id>-<random>, as CloudFormation does"
    assert (dev.folder / "slipway-dev-platform.template.json").exists()
