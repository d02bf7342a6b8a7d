"""What people do with the roles that they meet: the operators' from a shell, a token's from OpenAI's client."""

import json
from typing import Any

import requests

from tests.journeys.checks.world import World, expect


def operation(world: World) -> None:
    """An operator looks where the stage is, at an endpoint and what it is made of, calls it, reads what it prints."""
    role = world.platform.outputs["OperatorRoleArn"]
    taken = world.platform.client("sts").assume_role(RoleArn=role, RoleSessionName="operator")["Credentials"]
    key = {
        "access_key_id": taken["AccessKeyId"],
        "secret_access_key": taken["SecretAccessKey"],
        "session_token": taken["SessionToken"],
    }

    def client(service: str) -> Any:
        return world.platform.client(service, key)

    for part in ("data", "platform"):
        client("cloudformation").describe_stacks(StackName=f"slipway-local-{part}")
    name, sagemaker, logs = world.endpoint_name, client("sagemaker"), client("logs")
    config = sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
    sagemaker.describe_model(ModelName=variant["ModelName"])
    body = json.dumps({"instances": [world.features]})
    runtime = client("sagemaker-runtime")
    runtime.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
    group = {"logGroupName": f"/aws/sagemaker/Endpoints/{name}"}
    stream = logs.describe_log_streams(**group)["logStreams"][0]["logStreamName"]
    logs.filter_log_events(**group)
    logs.get_log_events(**group, logStreamName=stream)


def call_with_a_token(world: World) -> None:
    """Who has a token reaches the endpoint, which may have no such route."""
    expect_good_token(world, world.endpoint["id"])


def expect_good_token(world: World, id: str) -> None:
    """Raise CheckFailed unless an endpoint's token lets its bearer call it."""
    answer = world.owner.call("POST", f"/endpoints/{id}/token", {"expires_in": 60})
    url, bearer = f"{answer['base_url']}/chat/completions", {"Authorization": f"Bearer {answer['token']}"}
    called = requests.post(url, json={"messages": []}, headers=bearer, timeout=10)
    expect(called.status_code not in {401, 403}, f"the token is good: {called.status_code} {called.text}")
