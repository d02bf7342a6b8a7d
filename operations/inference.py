"""`make deploy-inference-endpoint`, `test-inference` and `delete-inference-endpoint`: an endpoint from a shell.

They speak to the platform's API as one of its users, so an endpoint made here has an owner, a record and a price like
any other, and no shell needs permission to make things at SageMaker.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from local.api_client import ApiClient, ApiError
from local.home import STAGE, Home
from operations.account import account_of
from operations.deployed import outputs_of
from operations.inference_settings import InferenceSettings, read
from operations.settings import settings_of
from operations.terminal import OperationError, run
from operations.waiting import wait_until

ENDED = ("completed", "failed", "cancelled")
LOOK_SECONDS = 0.5
SETTLED = {"in_service", "sleeping", "failed"}  # statuses in which an endpoint can be deleted


def main(arguments: Sequence[str]) -> int:
    """Do one of deploy, test and delete: arguments are the stage, the action and, for delete, the endpoint's name."""
    stage, action, *rest = arguments
    if action == "delete" and not any(rest):
        raise OperationError("Say which endpoint: ENDPOINT_NAME=<its name or id>.")
    settings_of(stage)
    settings = read()
    account = account_of(stage)
    outputs = outputs_of(account, stage)
    refuse_another_role(settings, outputs)
    api = ApiClient(account.api_url or outputs["ApiUrl"])
    try:
        sign_in(api, stage, settings)
        if action == "deploy":
            deploy(api, settings)
        elif action == "test":
            test(api, settings, os.environ)
        else:
            delete(api, rest[0])
    except ApiError as error:
        raise OperationError(f"The platform answers {error.status}: {error.body.get('detail')}") from error
    except requests.ConnectionError as error:
        raise OperationError(f"The platform does not answer at {api.api_url}.") from error
    return 0


def refuse_another_role(settings: InferenceSettings, outputs: dict[str, str]) -> None:
    """Raise OperationError when ARN_ROLE names another role than the stage's."""
    if settings.ARN_ROLE not in (None, outputs["ExecutionRoleArn"]):
        raise OperationError(
            f"ARN_ROLE is {settings.ARN_ROLE}, and the endpoints of stage {outputs['Stage']} run under "
            f"{outputs['ExecutionRoleArn']}; leave ARN_ROLE out, or run `make create-sagemaker-execution-role`."
        )


def sign_in(api: ApiClient, stage: str, settings: InferenceSettings) -> None:
    """Let the client speak as a user: by token, by name and password, or on this machine as the demo's user."""
    name, password = settings.SLIPWAY_USERNAME, settings.SLIPWAY_PASSWORD
    saved = Home.from_environment().read("demo.json") if stage == STAGE else None
    if settings.SLIPWAY_TOKEN:
        api.session.headers["Authorization"] = f"Bearer {settings.SLIPWAY_TOKEN}"
    elif name and password:
        api.login(name, password)
    elif saved:
        api.login(saved["username"], saved["password"])
    else:
        ways = "SLIPWAY_USERNAME and SLIPWAY_PASSWORD, or SLIPWAY_TOKEN, in the environment or in .env"
        raise OperationError(f"Say who you are: {ways}{'; `make demo` makes a user here' if stage == STAGE else ''}.")


# ------------------------------------------------------------------------------------------------------ deploy


def deploy(api: ApiClient, settings: InferenceSettings) -> None:
    """Deploy the model and follow the job; raises OperationError with the reason when it fails."""
    if settings.SAGEMAKER_ENDPOINT_CONFIG_INFERENCE:
        print("SAGEMAKER_ENDPOINT_CONFIG_INFERENCE is not used: the configuration bears the endpoint's own name.")
    job = api.call("POST", "/register", request_of(settings))
    path, seen = f"/jobs/{job['id']}", None
    print(f"{job['id']}  {settings.MODEL_ID} as {job['name']}", flush=True)
    for job in api.follow(path, lambda found: found["status"] in ENDED):
        if (now := job["stage"] or job["status"]) != seen:
            print(f"  {now}", flush=True)
        seen = now
    if job["status"] != "completed":
        raise OperationError(f"The endpoint is not there: {job['reason']}")
    endpoint = api.call("GET", f"/endpoints/{job['endpoint_id']}")
    print(f"{endpoint['id']}  {endpoint['name']}  {endpoint['instance_type']}  {endpoint['url']}")


def request_of(settings: InferenceSettings) -> dict[str, Any]:
    """Return the body of POST /register: the same settings are the same endpoint, however often they are sent."""
    request: dict[str, Any] = {"name": settings.SAGEMAKER_ENDPOINT_INFERENCE, "model": settings.model}
    if settings.GPU_INSTANCE_TYPE:
        request["instance_type"] = settings.GPU_INSTANCE_TYPE
    if settings.ENDPOINT_TYPE:
        request["kind"] = settings.ENDPOINT_TYPE.lower()
    return request


# -------------------------------------------------------------------------------------------------------- test


def test(api: ApiClient, settings: InferenceSettings, given: Any) -> None:
    """Call the endpoint with INPUT= (and PROMPT= before it), or with the file BODY=, and print what it answers."""
    wanted = given.get("ENDPOINT_NAME") or settings.SAGEMAKER_ENDPOINT_INFERENCE
    endpoint = the_one(api, wanted, {"in_service"})
    body, content_type = body_of(settings, given.get("INPUT"), given.get("PROMPT"), given.get("BODY"))
    headers = {"Content-Type": content_type}
    answer = api.request("POST", f"/endpoints/{endpoint['id']}/invoke", data=body, headers=headers)
    if not answer.ok:
        raise ApiError(answer)
    print(answer.text)


def body_of(settings: InferenceSettings, text: str | None, prompt: str | None, file: str | None) -> tuple[bytes, str]:
    """Return what to send and its content type; raises OperationError when there is nothing to send."""
    if file:
        path = Path(file)
        if not path.is_file():
            raise OperationError(f"There is no file {file} to send: BODY=<a JSON or CSV file>.")
        return path.read_bytes(), "text/csv" if path.suffix == ".csv" else "application/json"
    if not text:
        raise OperationError(
            "Say what to send: INPUT='<a text>' (PROMPT= goes before it), or BODY=<a JSON or CSV file>."
        )
    inputs = f"{prompt}\n{text}" if prompt else text
    return json.dumps({"inputs": inputs, "parameters": settings.parameters}).encode(), "application/json"


# ------------------------------------------------------------------------------------------------------ delete


def delete(api: ApiClient, wanted: str) -> None:
    """Delete an endpoint and wait until it is gone, and its configuration and model at SageMaker with it."""
    endpoint = the_one(api, wanted, SETTLED)
    path = f"/endpoints/{endpoint['id']}"
    api.call("DELETE", path)
    wait_until(lambda: api.request("GET", path).status_code == 404, f"{wanted} to be deleted", pause=LOOK_SECONDS)
    print(f"{endpoint['id']}  {endpoint['name']}  deleted")


def the_one(api: ApiClient, wanted: str, statuses: set[str]) -> dict[str, Any]:
    """Return the one endpoint of that name or id that has one of the statuses; raises OperationError."""
    named = [found for found in endpoints(api) if wanted in (found["id"], found["name"])]
    fitting = [found for found in named if found["status"] in statuses]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        ids = ", ".join(found["id"] for found in fitting)
        raise OperationError(
            f"{wanted} is the name of {len(fitting)} endpoints; give an id: ENDPOINT_NAME= one of {ids}."
        )
    if named:
        raise OperationError(f"{wanted} is {', '.join(found['status'] for found in named)}; wait until that is over.")
    raise OperationError(f"You have no endpoint {wanted}; `make deploy-inference-endpoint` makes one.")


def endpoints(api: ApiClient) -> list[dict[str, Any]]:
    """Return all endpoints of the user."""
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"next_cursor": ""}
    while page["next_cursor"] is not None:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = api.call("GET", "/endpoints", params={"limit": 100} | cursor)
        found += page["items"]
    return found


if __name__ == "__main__":
    run(main)
