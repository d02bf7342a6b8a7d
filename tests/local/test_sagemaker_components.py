"""Inference components of the local SageMaker: `pytest tests/local/test_sagemaker_components.py`."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.services import ROLE, MiniStack, Services, alive, client, until
from tests.local.test_sagemaker_endpoints import SERVE, archive, create_config

NEEDS = {"NumberOfCpuCoresRequired": 1, "MinMemoryRequiredInMb": 1024}
VARIANT = {
    "VariantName": "main",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 1,
    "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 2},
    "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
}
TARGET = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}


def create_model(services: Services, name: str, model: str) -> None:
    data = services.put(f"models/{name}/model.tar.gz", archive({"model.txt": model}))
    container = {"Image": services.image("server", serve=SERVE), "ModelDataUrl": data}
    services.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)


def create_host(services: Services, name: str) -> None:
    services.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[VARIANT], ExecutionRoleArn=ROLE, EnableNetworkIsolation=True
    )
    services.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    until(
        lambda: services.sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] == "InService",
    )


def create_component(services: Services, host: str, name: str, model: str = "first") -> dict[str, Any]:
    """A component with a model of its own, both called `name`."""
    create_model(services, name, model)
    services.sagemaker.create_inference_component(
        InferenceComponentName=name,
        EndpointName=host,
        VariantName="main",
        Specification={"ModelName": name, "ComputeResourceRequirements": NEEDS},
        RuntimeConfig={"CopyCount": 1},
        Tags=[{"Key": "of", "Value": name}],
    )
    return settled(services, name)


def describe(services: Services, name: str) -> dict[str, Any]:
    return services.sagemaker.describe_inference_component(InferenceComponentName=name)


def settled(services: Services, name: str) -> dict[str, Any]:
    return until(
        lambda: describe(services, name),
        lambda component: component["InferenceComponentStatus"] in ("InService", "Failed"),
    )


def invoke(services: Services, host: str, name: str, body: str = "x") -> dict[str, Any]:
    answer = services.runtime.invoke_endpoint(EndpointName=host, InferenceComponentName=name, Body=body)
    return json.loads(answer["Body"].read())


def delete(services: Services, name: str) -> None:
    services.sagemaker.delete_inference_component(InferenceComponentName=name)
    until(
        lambda: services.sagemaker.list_inference_components(NameContains=name)["InferenceComponents"],
        lambda found: not found,
    )


@pytest.fixture(scope="module")
def host(services: Services) -> str:
    create_host(services, "host")
    return "host"


def test_several_models_answer_on_one_endpoint(services: Services, host: str) -> None:
    for name, model in (("one", "first"), ("two", "second")):
        component = create_component(services, host, name, model)
        assert component["InferenceComponentStatus"] == "InService", component.get("FailureReason")
        assert component["RuntimeConfig"] == {"DesiredCopyCount": 1, "CurrentCopyCount": 1}
    first, second = invoke(services, host, "one"), invoke(services, host, "two")
    assert (first["model"], second["model"]) == ("first", "second")
    assert first["pid"] != second["pid"]
    listed = services.sagemaker.list_inference_components(EndpointNameEquals=host, SortBy="Name", SortOrder="Ascending")
    assert [found["InferenceComponentName"] for found in listed["InferenceComponents"]] == ["one", "two"]
    assert services.sagemaker.list_inference_components(EndpointNameEquals="none")["InferenceComponents"] == []
    arn = describe(services, "one")["InferenceComponentArn"]
    assert services.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "of", "Value": "one"}]
    until(
        lambda: services.log_lines("/aws/sagemaker/InferenceComponents/two", "main/"),
        lambda lines: "serving second" in lines,
    )


def test_an_answer_streams_and_the_containers_error_is_passed_on(services: Services, host: str) -> None:
    answer = services.runtime.invoke_endpoint_with_response_stream(
        EndpointName=host, InferenceComponentName="one", Body=b"x"
    )
    assert json.loads(b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]))["model"] == "first"
    with pytest.raises(ClientError) as failed:
        invoke(services, host, "one", "bad")
    assert failed.value.response["OriginalStatusCode"] == 400
    assert "/aws/sagemaker/InferenceComponents/one" in failed.value.response["LogStreamArn"]


def test_calls_that_name_no_component_or_another_are_refused(services: Services, host: str) -> None:
    with pytest.raises(ClientError, match="has inference components: name one of them"):
        services.runtime.invoke_endpoint(EndpointName=host, Body=b"x")
    with pytest.raises(ClientError, match="nobody not found on endpoint host"):
        invoke(services, host, "nobody")


def test_calls_are_counted_for_the_component_too(services: Services, host: str) -> None:
    cloudwatch = client("cloudwatch", services.aws)

    def counted() -> list[dict[str, Any]]:
        dimensions = [{"Name": "InferenceComponentName", "Value": "one"}]
        return cloudwatch.list_metrics(MetricName="Invocations", Dimensions=dimensions)["Metrics"]

    until(counted, bool)


def test_a_component_without_copies_costs_no_process_and_answers_as_aws_does(services: Services, host: str) -> None:
    pid = invoke(services, host, "two")["pid"]
    services.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName="two", DesiredRuntimeConfig={"CopyCount": 0}
    )
    assert settled(services, "two")["RuntimeConfig"]["CurrentCopyCount"] == 0
    until(lambda: alive(pid), lambda lives: not lives)
    with pytest.raises(ClientError, match="Inference Component has no capacity to process this request") as refused:
        invoke(services, host, "two")
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert describe(services, "two")["RuntimeConfig"]["DesiredCopyCount"] == 0, "nothing was to bring it back"
    assert invoke(services, host, "one")["model"] == "first"


def test_a_call_brings_back_what_a_step_policy_scales_from_zero(services: Services, host: str) -> None:
    scaling = client("application-autoscaling", services.url)
    resource = {**TARGET, "ResourceId": "inference-component/two"}
    with pytest.raises(ClientError, match="No scalable target registered"):
        scaling.put_scaling_policy(**resource, PolicyName="zero", PolicyType="StepScaling")
    scaling.register_scalable_target(**resource, MinCapacity=0, MaxCapacity=2)
    steps = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    policy = scaling.put_scaling_policy(
        **resource, PolicyName="zero", PolicyType="StepScaling", StepScalingPolicyConfiguration=steps
    )
    assert policy["PolicyARN"].endswith("inference-component/two:zero")
    with pytest.raises(ClientError, match="has no capacity"):
        invoke(services, host, "two")
    until(lambda: describe(services, "two")["RuntimeConfig"]["CurrentCopyCount"], bool)
    assert invoke(services, host, "two")["model"] == "second"
    scaling.deregister_scalable_target(**resource)
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []


def test_an_update_serves_the_old_model_until_the_new_one_answers(services: Services, host: str) -> None:
    create_model(services, "one-2", "newer")
    rolling = {"MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1}, "WaitIntervalInSeconds": 0}
    services.sagemaker.update_inference_component(
        InferenceComponentName="one",
        Specification={"ModelName": "one-2", "ComputeResourceRequirements": NEEDS},
        DeploymentConfig={"RollingUpdatePolicy": rolling},
    )
    models = []
    until(lambda: models.append(invoke(services, host, "one")["model"]) or models[-1], lambda model: model == "newer")
    found = settled(services, "one")
    assert (found["InferenceComponentStatus"], found["Specification"]["ModelName"]) == ("InService", "one-2")
    create_model(services, "one-3", "broken")
    services.sagemaker.update_inference_component(
        InferenceComponentName="one", Specification={"ModelName": "one-3", "ComputeResourceRequirements": NEEDS}
    )
    found = settled(services, "one")
    assert (found["InferenceComponentStatus"], found["Specification"]["ModelName"]) == ("InService", "one-2")
    assert "cannot load the model" in found["FailureReason"]
    assert invoke(services, host, "one")["model"] == "newer"


def test_a_model_that_does_not_load_fails_its_component_alone(services: Services, host: str) -> None:
    component = create_component(services, host, "unloadable", "broken")
    assert component["InferenceComponentStatus"] == "Failed"
    assert "cannot load the model" in component["FailureReason"]
    assert invoke(services, host, "one")["model"] == "newer"
    delete(services, "unloadable")


def test_what_cannot_be_is_refused(services: Services, host: str) -> None:
    create = services.sagemaker.create_inference_component
    wanted = {"EndpointName": host, "Specification": {"ModelName": "one", "ComputeResourceRequirements": NEEDS}}
    with pytest.raises(ClientError, match="Cannot create already existing inference component"):
        create(InferenceComponentName="one", RuntimeConfig={"CopyCount": 1}, **wanted)
    with pytest.raises(ClientError, match="copy count must be an integer larger than 0"):
        create(InferenceComponentName="three", RuntimeConfig={"CopyCount": 0}, **wanted)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        create(InferenceComponentName="three", RuntimeConfig={"CopyCount": 1}, **wanted | {"EndpointName": "none"})
    with pytest.raises(ClientError, match="Could not find inference component"):
        describe(services, "three")
    with pytest.raises(ClientError, match="Delete the inference components of the endpoint host first"):
        services.sagemaker.delete_endpoint(EndpointName=host)
    with pytest.raises(ClientError, match="ExecutionRoleArn is required"):
        services.sagemaker.create_endpoint_config(EndpointConfigName="no-role", ProductionVariants=[VARIANT])
    with pytest.raises(ClientError, match="only supported for inference component endpoints"):
        create_config(services, "scaled", "first", ManagedInstanceScaling={"Status": "ENABLED"})


def test_components_are_served_again_after_a_restart(services: Services, host: str) -> None:
    services.close()
    services.start()

    def answered(name: str) -> str | None:
        try:
            return invoke(services, host, name)["model"]
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceUnavailable", error
            return None

    assert [until(lambda name=name: answered(name), bool) for name in ("one", "two")] == ["newer", "second"]


def test_components_go_before_their_endpoint(services: Services, host: str) -> None:
    pids = [invoke(services, host, name)["pid"] for name in ("one", "two")]
    for name in ("one", "two"):
        delete(services, name)
    until(lambda: [alive(pid) for pid in pids], lambda living: not any(living))
    services.sagemaker.delete_endpoint(EndpointName=host)
    until(lambda: services.sagemaker.list_endpoints(NameContains=host)["Endpoints"], lambda found: not found)
    assert not list((services.home / "sagemaker/components").iterdir())


def test_the_copies_of_a_component_that_nobody_calls_go(aws: MiniStack, tmp_path: Path) -> None:
    services = Services(tmp_path, aws.url, stop_grace=1.0, health_timeout=4.0, idle=0.5)
    try:
        create_host(services, "idle")
        create_component(services, "idle", "still")
        scaling = client("application-autoscaling", services.url)
        resource = {**TARGET, "ResourceId": "inference-component/still"}
        scaling.register_scalable_target(**resource, MinCapacity=0, MaxCapacity=2)
        metric = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
        tracking = {"TargetValue": 5, "PredefinedMetricSpecification": {"PredefinedMetricType": metric}}
        policy = {"PolicyName": "calls", "PolicyType": "TargetTrackingScaling"}
        scaling.put_scaling_policy(**resource, **policy, TargetTrackingScalingPolicyConfiguration=tracking)
        until(lambda: describe(services, "still")["RuntimeConfig"]["DesiredCopyCount"] == 0, bool)
    finally:
        services.close()
