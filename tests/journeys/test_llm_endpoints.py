"""Language models behind endpoints: both forms of invoke, and the official OpenAI client with a bearer token.

`pytest tests/journeys/test_llm_endpoints.py`
"""

import base64
import json
from json import JSONDecoder
from typing import Any

import openai
import pytest
from botocore.exceptions import ClientError

from local.api_client import ApiClient
from tests.journeys.conftest import ENDED
from tests.journeys.documents import blocks, requests_in
from tests.local.small import eventually
from tests.platform import Platform

QUESTION = "say it"
SENTENCE = "the slipway is open, ships may go"
SETTINGS = {"learning_rate": 1e-2, "max_steps": 30, "batch_size": 8, "gradient_checkpointing": False}
PROMPT = f"User:\n{QUESTION}\nAssistant:\n"
CHAT: Any = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def job(member: ApiClient) -> dict[str, Any]:
    """A job that taught a tiny model one sentence."""
    row = {"messages": [*CHAT, {"role": "assistant", "content": SENTENCE}]}
    dataset = member.upload(
        (json.dumps(row) + "\n").encode() * 24, "one.jsonl", name="one", type="text", format="jsonl"
    )
    dataset = member.wait(f"/datasets/{dataset['id']}", "ready", "failed")
    assert dataset["status"] == "ready", dataset["reason"]
    request = {"name": "one", "dataset_id": dataset["id"], "training_type": "llm", "parameters": SETTINGS}
    job = member.wait(f"/jobs/{member.call('POST', '/jobs', request)['id']}", *ENDED)
    assert job["status"] == "completed", job["reason"]
    return job


def deploy(member: ApiClient, job: dict[str, Any], kind: str = "model_based", **more: Any) -> dict[str, Any]:
    model = {"model_id": job["model"]["model_id"], "version": job["model"]["version"]}
    return member.call("POST", "/endpoints", {"name": "one", "model": model, "kind": kind, **more})


@pytest.fixture(scope="module")
def endpoints(member: ApiClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Two endpoints of the same model, in service."""
    made = [deploy(member, job, llm={"max_model_len": 6000}), deploy(member, job)]
    served = [member.wait(f"/endpoints/{each['id']}", "in_service", "failed") for each in made]
    assert [each["status"] for each in served] == ["in_service"] * 2, served
    return served


@pytest.fixture(scope="module")
def components(member: ApiClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Two endpoints that share the instances of one of SageMaker's, in service; the first scales to zero."""
    kind, served = "inference_component_based", list[dict[str, Any]]()
    for more in ({"copies": {"min_copies": 0, "max_copies": 1}}, {"llm": {"max_model_len": 6000}}):
        placing = more | ({"host_endpoint_id": served[0]["id"]} if served else {})
        made = deploy(member, job, kind, **placing)
        served.append(member.wait(f"/endpoints/{made['id']}", "in_service", "failed"))
        assert served[-1]["status"] == "in_service", served[-1]["reason"]
    return served


def client_of(token: dict[str, Any], base_url: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url or token["base_url"], api_key=token["token"], max_retries=0)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="", messages=CHAT, temperature=0, **more)


def records(platform: Platform, endpoint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the endpoint's server recorded of its generations, by their ids."""
    logs, found = platform.client("logs"), {}
    group = f"/aws/sagemaker/Endpoints/slipway-local-{endpoint['id']}"
    for event in logs.filter_log_events(logGroupName=group)["events"]:
        if event["message"].startswith('{"generation"'):
            record = json.loads(event["message"])["generation"]
            found[record["id"]] = record
    return found


def test_both_forms_of_invoke_are_answered(member: ApiClient, endpoints: list[dict[str, Any]]) -> None:
    path = f"/endpoints/{endpoints[0]['id']}/invoke"
    parameters = {"temperature": 0, "max_new_tokens": 64, "top_p": 1.0, "repetition_penalty": 1.0}
    assert member.call("POST", path, {"inputs": PROMPT, "parameters": parameters}) == [{"generated_text": SENTENCE}]
    stopped = {"inputs": PROMPT, "parameters": parameters | {"stop": [", ships"]}}
    assert member.call("POST", path, stopped) == [{"generated_text": "the slipway is open"}]
    answer = member.call("POST", path, {"messages": CHAT, "parameters": parameters})
    assert answer["choices"][0]["message"]["content"] == SENTENCE
    refused = member.request("POST", path, json={"inputs": PROMPT, "parameters": {"temperature": "hot", "top_k": 1}})
    assert refused.status_code == 400
    assert {fault["field"] for fault in refused.json()["errors"]} == {"parameters.temperature", "parameters.top_k"}


def test_what_the_document_shows_is_answered(
    member: ApiClient, endpoints: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/endpoints/{endpoints[0]['id']}"
    ((_, shown),), ((_, program),) = blocks("language-models.md", "json"), blocks("language-models.md", "python")
    forms = [JSONDecoder().raw_decode(shown, shown.index(start))[0] for start in ('{"inputs"', '{"messages"')]
    text, chat = (member.call("POST", f"{path}/invoke", form) for form in forms)
    assert list(text[0]) == ["generated_text"] and {"choices", "usage"} <= set(chat)
    (token,) = [body for _, shown_path, body in requests_in("language-models.md") if shown_path.endswith("/token")]
    exec(program, {"answer": member.call("POST", f"{path}/token", token)})
    assert capsys.readouterr().out


def test_the_openai_client_streams_while_the_model_still_writes(
    platform: Platform, member: ApiClient, endpoints: list[dict[str, Any]]
) -> None:
    endpoint, most = endpoints[0], 4000
    token = member.call("POST", f"/endpoints/{endpoint['id']}/token", {"expires_in": 120})
    client = client_of(token)
    assert ask(client).choices[0].message.content == SENTENCE
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert ("".join(texts), len(texts) >= 3) == (SENTENCE, True)
    # Three chunks are here, and the client goes: had anybody on the way waited for the rest, the server would have
    # made all of it. Its own record says how much it made.
    with ask(client, stream=True, max_tokens=most, extra_body={"min_tokens": most}) as stream:
        received = [next(iter(stream)) for _ in range(4)]
    id = received[0].id
    record = eventually(lambda: records(platform, endpoint).get(id), 60)
    assert record["finish_reason"] == "cancelled"
    assert 3 <= record["completion_tokens"] < most


def test_a_token_is_good_for_its_endpoint_alone_and_not_for_long(
    platform: Platform, member: ApiClient, endpoints: list[dict[str, Any]]
) -> None:
    first, second = endpoints
    token = member.call("POST", f"/endpoints/{first['id']}/token", {"expires_in": 2})
    other = token["base_url"].replace(first["id"], second["id"])
    assert other != token["base_url"]
    with pytest.raises(openai.PermissionDeniedError, match=r"InvokeEndpoint.*" + second["id"]):
        ask(client_of(token, other))

    def refused() -> bool:
        try:
            ask(client_of(token), max_tokens=1)
        except openai.PermissionDeniedError as error:
            return "has expired" in str(error)
        return False

    assert eventually(refused, 30)
    mine = member.call("POST", f"/endpoints/{first['id']}/token")
    assert ask(client_of(mine), max_tokens=1).choices[0].finish_reason == "length"
    call = base64.b64decode(mine["token"].removeprefix("sagemaker-api-key-")).decode()
    for forged in (call.replace("X-Amz-Expires=900", "X-Amz-Expires=3600"), call[:-20], "nonsense"):
        bad = {"token": f"sagemaker-api-key-{base64.b64encode(forged.encode()).decode()}"}
        with pytest.raises(openai.PermissionDeniedError):
            ask(client_of(bad, mine["base_url"]))
    with pytest.raises(openai.PermissionDeniedError):
        ask(client_of({"token": "sk-something"}, mine["base_url"]))


def test_who_may_not_use_an_endpoint_gets_no_token(
    platform: Platform, new_user: Any, endpoints: list[dict[str, Any]]
) -> None:
    stranger, viewer = new_user(), new_user("viewer")
    assert stranger.request("POST", f"/endpoints/{endpoints[0]['id']}/token").status_code == 404
    assert viewer.request("POST", f"/endpoints/{endpoints[0]['id']}/token").status_code == 403
    # The role that tokens are signed with trusts the endpoints function's role, and not even root.
    roles = [r for r in platform.client("iam").list_roles()["Roles"] if r["Path"] == "/slipway-local-token/"]
    with pytest.raises(ClientError, match="not authorized"):
        platform.client("sts").assume_role(RoleArn=roles[0]["Arn"], RoleSessionName="somebody")


def test_two_models_share_an_endpoint_and_answer_both_ways(
    platform: Platform, member: ApiClient, endpoints: list[dict[str, Any]], components: list[dict[str, Any]]
) -> None:
    first, second = components
    listed = platform.client("sagemaker").list_inference_components(EndpointNameEquals=f"slipway-local-{first['id']}")
    names = {found["InferenceComponentName"] for found in listed["InferenceComponents"]}
    assert names == {f"slipway-local-{each['id']}" for each in components}
    parameters = {"temperature": 0, "max_new_tokens": 64}
    for each in components:
        path = f"/endpoints/{each['id']}/invoke"
        assert member.call("POST", path, {"inputs": PROMPT, "parameters": parameters}) == [{"generated_text": SENTENCE}]
        chat = member.call("POST", path, {"messages": CHAT, "parameters": parameters})
        assert chat["choices"][0]["message"]["content"] == SENTENCE
    token, other = (member.call("POST", f"/endpoints/{each['id']}/token") for each in components)
    chunks = list(ask(client_of(other), stream=True))
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert ("".join(texts), len(texts) >= 3) == (SENTENCE, True)
    with pytest.raises(openai.PermissionDeniedError, match=r"InvokeEndpoint.*inference-component/.*" + second["id"]):
        ask(client_of(token, other["base_url"]))
    of_another_kind = member.call("POST", f"/endpoints/{endpoints[0]['id']}/token")
    with pytest.raises(openai.PermissionDeniedError, match="InvokeEndpoint"):
        ask(client_of(of_another_kind, token["base_url"]))


def test_a_component_scales_to_zero_and_comes_back_when_it_is_called(
    platform: Platform, member: ApiClient, components: list[dict[str, Any]]
) -> None:
    first, second = components
    path = f"/endpoints/{first['id']}/invoke"
    call = {"inputs": PROMPT, "parameters": {"temperature": 0, "max_new_tokens": 64}}
    # What Application Auto Scaling does after a quarter of an hour without a call.
    name, sagemaker = f"slipway-local-{first['id']}", platform.client("sagemaker")
    sagemaker.update_inference_component_runtime_config(
        InferenceComponentName=name, DesiredRuntimeConfig={"CopyCount": 0}
    )

    def copies() -> int:
        return sagemaker.describe_inference_component(InferenceComponentName=name)["RuntimeConfig"]["CurrentCopyCount"]

    eventually(lambda: copies() == 0, 60)
    refused = member.request("POST", path, json=call)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "60"), refused.text
    assert member.call("POST", f"/endpoints/{second['id']}/invoke", call) == [{"generated_text": SENTENCE}]
    answered = eventually(lambda: (found := member.request("POST", path, json=call)).ok and found.json(), 60)
    assert answered == [{"generated_text": SENTENCE}]


def test_boto3_reads_the_stream_as_events(platform: Platform, endpoints: list[dict[str, Any]]) -> None:
    answer = platform.client("sagemaker-runtime").invoke_endpoint_with_response_stream(
        EndpointName=f"slipway-local-{endpoints[0]['id']}",
        ContentType="application/json",
        Body=json.dumps({"messages": CHAT, "temperature": 0, "stream": True}),
    )
    assert answer["ContentType"].startswith("text/event-stream")
    lines = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode().split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == SENTENCE


def test_the_endpoints_go_away(
    platform: Platform, member: ApiClient, endpoints: list[dict[str, Any]], components: list[dict[str, Any]]
) -> None:
    for endpoint in endpoints + components:
        member.call("DELETE", f"/endpoints/{endpoint['id']}")
    for endpoint in endpoints + components:
        eventually(lambda id=endpoint["id"]: member.request("GET", f"/endpoints/{id}").status_code == 404, 60)
    assert platform.client("sagemaker").list_inference_components()["InferenceComponents"] == []
