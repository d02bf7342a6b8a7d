"""Language models' endpoints without AWS: the forms of invoke, vLLM's settings, tokens.

Run: python -m pytest tests/units/test_llm_endpoints.py
"""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import SigV4QueryAuth
from pydantic import ValidationError

from lambdas.common.errors import BadRequest, Conflict, ContainerFailed
from lambdas.endpoints import components, endpoint_request, generation, llm, token
from lambdas.endpoints.copies import Copies
from lambdas.endpoints.llm import LlmSettings
from lambdas.endpoints.schemas import EndpointCreate
from lambdas.endpoints.servable import Servable
from lambdas.models.schemas import ModelVersion
from tests.aws_requests import faults
from tests.units.test_endpoints import DEPLOYMENT, ENDPOINT

IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/vllm:0.28.0-gpu-py312-cu130-ubuntu24.04-sagemaker"
CHAT = {"messages": [{"role": "user", "content": "hello"}]}


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


# ------------------------------------------------------------------------------------------------------------- invoke


def test_a_prompt_becomes_a_completion_and_its_answer_texts() -> None:
    parameters = {
        "max_new_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "repetition_penalty": 1.1,
        "stop": ["\n"],
        "seed": 4,
    }
    request = generation.asked(body({"inputs": "once", "parameters": parameters}))
    expected = {name: value for name, value in parameters.items() if name != "max_new_tokens"}
    assert generation.to_server(request) == {"prompt": "once", "max_tokens": 9, **expected}
    answer = body({"choices": [{"text": " upon a time"}]})
    assert json.loads(generation.from_server(request, answer)) == [{"generated_text": " upon a time"}]


def test_a_chat_becomes_a_chat_and_its_answer_stays_as_it_is() -> None:
    request = generation.asked(body(CHAT))
    assert generation.to_server(request) == {**CHAT, "max_tokens": 256}
    answer = body({"choices": [{"message": {"role": "assistant", "content": "hi"}}], "usage": {}})
    assert generation.from_server(request, answer) == answer


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not valid JSON"),
        (body([]), "A language model takes"),
        (body({"instances": ["x"]}), "A language model takes"),
        (body({"inputs": "x", **CHAT}), "A language model takes"),
        (body({"inputs": ""}), "inputs"),
        (body({"inputs": ["x"]}), "inputs"),
        (body({"inputs": "x", "parameters": {"top_k": 3}}), "parameters.top_k"),
        (body({"inputs": "x", "parameters": {"max_new_tokens": "many"}}), "parameters.max_new_tokens"),
        (body({"inputs": "x", "parameters": {"temperature": -1}}), "parameters.temperature"),
        (body({"messages": []}), "messages"),
        (body({"messages": [{"role": "king", "content": "x"}]}), "messages.0.role"),
        (body({"messages": [{"role": "user"}]}), "messages.0.content"),
        (body({**CHAT, "stream": True}), "/token"),
    ],
)
def test_what_cannot_be_asked_is_named(content: bytes, told: str) -> None:
    with pytest.raises(BadRequest) as refused:
        generation.asked(content)
    assert told in refused.value.detail


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'"text"'])
def test_an_answer_of_another_kind_is_the_containers_fault(answer: bytes) -> None:
    with pytest.raises(ContainerFailed):
        generation.from_server(generation.asked(body(CHAT)), answer)


# ----------------------------------------------------------------------------------------------------------- requests


def endpoint(**settings: Any) -> Any:
    given = {"kind": "model_based", "llm": LlmSettings(**settings), "instance_type": "ml.g5.12xlarge"}
    return ENDPOINT.model_copy(update=given)


TO = endpoint_request.Deployment(**{**vars(DEPLOYMENT), "llm_image": IMAGE})


def test_vllm_is_told_its_arguments_and_sagemaker_its_timeouts_and_driver() -> None:
    wanted = endpoint(tensor_parallel_size=4, max_model_len=8192, quantization="fp8", model_download_timeout_seconds=60)
    model = endpoint_request.create_model(wanted, TO)
    assert faults("sagemaker", "CreateModel", model) == []
    assert model["EnableNetworkIsolation"] is True
    assert model["PrimaryContainer"] == {
        "Image": IMAGE,
        "ModelDataUrl": ENDPOINT.artefact,
        "Environment": {
            "SM_VLLM_TENSOR_PARALLEL_SIZE": "4",
            "SM_VLLM_MAX_MODEL_LEN": "8192",
            "SM_VLLM_QUANTIZATION": "fp8",
            "SM_VLLM_GPU_MEMORY_UTILIZATION": "0.9",
        },
    }
    config = endpoint_request.create_endpoint_config(wanted, TO)
    assert faults("sagemaker", "CreateEndpointConfig", config) == []
    (variant,) = config["ProductionVariants"]
    assert variant["ModelDataDownloadTimeoutInSeconds"] == 60
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 1200
    assert variant["InferenceAmiVersion"] == "al2023-ami-sagemaker-inference-gpu-4-1"


def test_other_endpoints_are_asked_for_as_before() -> None:
    container = endpoint_request.create_model(ENDPOINT, TO)["PrimaryContainer"]
    assert container == {"Image": DEPLOYMENT.images["tabular"], "ModelDataUrl": ENDPOINT.artefact}


def component(**copies: Any) -> Any:
    """An endpoint whose model is a component on another's instances."""
    own = {"kind": components.KIND, "copies": Copies(**copies), "host": "slipway-production-1-ep-01m7x9pxfk4b3pwqvz1"}
    return endpoint(tensor_parallel_size=2, model_download_timeout_seconds=60).model_copy(update=own)


def test_a_hosts_configuration_names_no_model_and_isolates_what_is_placed_on_it() -> None:
    config = components.create_host_config(component(min_copies=0, max_copies=3), TO)
    assert faults("sagemaker", "CreateEndpointConfig", config) == []
    (variant,) = config["ProductionVariants"]
    assert "ModelName" not in variant and variant["InferenceAmiVersion"]
    assert variant["ManagedInstanceScaling"] == {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 3}
    assert variant["RoutingConfig"] == {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
    assert config["EnableNetworkIsolation"] is True
    assert (config["ExecutionRoleArn"], config["VpcConfig"]) == (DEPLOYMENT.role_arn, DEPLOYMENT.vpc)
    kept = components.create_host_config(component(min_copies=2, max_copies=2, max_instances=5), TO)
    scaling = kept["ProductionVariants"][0]["ManagedInstanceScaling"]
    assert (scaling["MinInstanceCount"], scaling["MaxInstanceCount"]) == (1, 5)
    assert faults("sagemaker", "CreateEndpoint", components.create_host(component(), TO)) == []
    model = endpoint_request.create_model(component(), TO)
    assert faults("sagemaker", "CreateModel", model) == []
    assert model["EnableNetworkIsolation"] is False and "VpcConfig" not in model, "they are its host's"


@pytest.mark.parametrize(
    ("instance_type", "needs"),
    [("ml.g5.12xlarge", {"NumberOfAcceleratorDevicesRequired": 2}), ("ml.m5.large", {"NumberOfCpuCoresRequired": 1})],
)
def test_a_component_says_what_each_copy_needs(instance_type: str, needs: dict[str, Any]) -> None:
    wanted = component(min_copies=0, min_memory_mb=2048).model_copy(update={"instance_type": instance_type})
    request = components.create_component(wanted, TO)
    assert faults("sagemaker", "CreateInferenceComponent", request) == []
    assert (request["InferenceComponentName"], request["EndpointName"]) == (ENDPOINT.endpoint_name, wanted.host)
    assert request["RuntimeConfig"] == {"CopyCount": 1}, "SageMaker begins none without a copy"
    assert request["Specification"] == {
        "ModelName": ENDPOINT.endpoint_name,
        "StartupParameters": {
            "ModelDataDownloadTimeoutInSeconds": 60,
            "ContainerStartupHealthCheckTimeoutInSeconds": 1200,
        },
        "ComputeResourceRequirements": {**needs, "MinMemoryRequiredInMb": 2048},
    }


def test_an_update_of_a_component_bakes_behind_an_alarm() -> None:
    second = component().model_copy(update={"deployment": 2})
    request = components.update_component(second)
    assert faults("sagemaker", "UpdateInferenceComponent", request) == []
    assert request["InferenceComponentName"] == ENDPOINT.endpoint_name
    assert request["Specification"]["ModelName"] == f"{ENDPOINT.endpoint_name}-2"
    alarm = components.put_update_alarm(second)
    assert faults("cloudwatch", "PutMetricAlarm", alarm) == []
    assert request["DeploymentConfig"]["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": alarm["AlarmName"]}]}
    assert alarm["Dimensions"] == [{"Name": "InferenceComponentName", "Value": ENDPOINT.endpoint_name}]


def test_scaling_to_zero_and_back_is_asked_for_as_aws_documents_it() -> None:
    wanted = component(min_copies=0, max_copies=4, requests_per_copy=3)
    target = components.register_scalable_target(wanted)
    assert faults("application-autoscaling", "RegisterScalableTarget", target) == []
    assert target["ResourceId"] == f"inference-component/{ENDPOINT.endpoint_name}"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 4)
    for policy in (components.follow_calls(wanted), components.leave_zero(wanted)):
        assert faults("application-autoscaling", "PutScalingPolicy", policy) == []
    alarm = components.put_zero_alarm(wanted, "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:1:resource/x")
    assert faults("cloudwatch", "PutMetricAlarm", alarm) == []
    assert alarm["MetricName"] == "NoCapacityInvocationFailures"


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance_count": 2},
        {"copies": {"min_copies": 3, "max_copies": 2}},
        {"copies": {"max_copies": 0}},
        {"copies": {"min_memory_mb": 1}},
        {"host_endpoint_id": "ep-1", "instance_type": "ml.m5.large"},
        {"host_endpoint_id": "ep-1", "copies": {"max_instances": 2}},
        {"kind": "model_based", "copies": {}},
        {"kind": "model_based", "host_endpoint_id": "ep-1"},
        {"autoscaling": {"max_instances": 2, "invocations_per_instance": 5}},
    ],
)
def test_what_does_not_go_together_on_a_component_is_refused(wrong: dict[str, Any]) -> None:
    request = {"name": "x", "model": {"model_id": "x"}, "kind": components.KIND}
    EndpointCreate.model_validate(request)
    with pytest.raises(ValidationError):
        EndpointCreate.model_validate(request | wrong)


@pytest.mark.parametrize(
    "settings",
    [{"max_model_len": 1}, {"tensor_parallel_size": 0}, {"startup_health_check_timeout_seconds": 3601}, {"dtype": "x"}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LlmSettings(**settings)


MODEL = ModelVersion(
    owner="ada",
    id="mdl-1",
    model_id="m",
    version="v1",
    name="m",
    framework="pytorch",
    model_type="nlp",
    status="ready",
)


def checked(kind: str, settings: LlmSettings | None, instance_type: str, generates_text: bool = True) -> Any:
    served = Servable("huggingface", "s3://models/ada/m/v1/model.tar.gz", generates_text)
    return llm.checked(kind, settings, MODEL, served, instance_type)


def test_vllm_serves_language_models_on_gpus_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_SERVER", "vllm")
    assert checked("model_based", None, "ml.g5.xlarge") == LlmSettings()
    with pytest.raises(BadRequest, match="needs an instance type with GPUs"):
        checked("model_based", None, "ml.m5.large")
    with pytest.raises(Conflict, match="generates no text"):
        checked("model_based", None, "ml.g5.xlarge", generates_text=False)
    with pytest.raises(BadRequest, match="belongs to kind inference_component_based or model_based"):
        checked("realtime", LlmSettings(), "ml.g5.xlarge")
    monkeypatch.setenv("LLM_SERVER", "huggingface")
    assert checked("model_based", None, "ml.m5.large") == LlmSettings()


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_a_presigned_call_that_ends_when_it_says() -> None:
    key = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "SessionToken": "session"}
    made = token.signed(key, "eu-west-1", 900)
    assert made.startswith("sagemaker-api-key-")
    call = base64.b64decode(made.removeprefix("sagemaker-api-key-")).decode()
    url = urlsplit(f"https://{call}")
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.netloc, url.path, query["Action"], query["Version"]) == (
        "sagemaker.amazonaws.com",
        "/",
        "CallWithBearerToken",
        "1",
    )
    assert (query["X-Amz-Expires"], query["X-Amz-Security-Token"]) == ("900", "session")
    assert query["X-Amz-Credential"].split("/")[2:] == ["eu-west-1", "sagemaker", "aws4_request"]
    assert SigV4QueryAuth.DEFAULT_EXPIRES == 3600  # what it would be, had nobody said


def test_a_component_is_called_at_its_own_path_and_needs_both_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_ROLE_ARN", "arn:aws:iam::123456789012:role/token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert [arn.rpartition(":")[2] for arn in token.arns(component())] == [
        f"endpoint/{component().host}",
        f"inference-component/{ENDPOINT.endpoint_name}",
    ]


def test_a_tokens_session_may_call_one_endpoint_and_nothing_else() -> None:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/slipway-dev-ep-1"
    allowed = {statement["Action"]: statement["Resource"] for statement in token.policy(arn)["Statement"]}
    assert allowed == {"sagemaker:CallWithBearerToken": "*", "sagemaker:InvokeEndpoint": [arn]}
