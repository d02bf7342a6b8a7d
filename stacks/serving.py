"""Where models are served: endpoints are made at run time, so what is deployed of them is what their names may be,
and the image of language models' servers.
"""

import json
from pathlib import Path

import aws_cdk as cdk

from cdk_app.settings import Settings

# AWS's image with vLLM in each region: `sagemaker.core.image_uris.retrieve("vllm", ...)` of the SageMaker SDK,
# taken when a version of this platform is released.
VLLM = json.loads(Path(__file__).with_name("vllm_images.json").read_text())
# Application Auto Scaling's own role, which the first who scales an endpoint in an account makes.
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


def endpoint_resources(stack: cdk.Stack, settings: Settings) -> dict[str, list[str]]:
    """Return the ARNs of this stage's endpoints, configurations and models by the names that the grants use."""

    ours = f"slipway-{settings.stage}-*"

    def named(resource: str) -> list[str]:
        return [stack.format_arn(service="sagemaker", resource=resource, resource_name=ours)]

    def colon(service: str, resource: str, name: str) -> str:
        form = cdk.ArnFormat.COLON_RESOURCE_NAME
        return stack.format_arn(service=service, resource=resource, resource_name=name, arn_format=form)

    groups = (f"/aws/sagemaker/{kind}/{ours}:*" for kind in ("Endpoints", "InferenceComponents"))
    return {
        "endpoint-logs": [colon("logs", "log-group", name) for name in groups],
        "endpoints": named("endpoint"),
        "endpoint-configs": named("endpoint-config"),
        "endpoint-models": named("model"),
        "inference-components": named("inference-component"),
        # Not `ours`: that would be the standing alarms as well, which no function may touch.
        "endpoint-alarms": [colon("cloudwatch", "alarm", f"slipway-{settings.stage}-ep-*")],
        "scalable-targets": [
            stack.format_arn(service="application-autoscaling", resource="scalable-target", resource_name="*")
        ],
        "scaling-alarms": [
            colon("cloudwatch", "alarm", f"TargetTracking-{kind}/{ours}")
            for kind in ("endpoint", "inference-component")
        ],
        "scaling-role": [
            f"arn:{stack.partition}:iam::{stack.account}:role/aws-service-role/{SCALING_SERVICE}/{SCALING_ROLE}"
        ],
    }


def llm_variables(stack: cdk.Stack, settings: Settings, images: dict[str, str]) -> dict[str, str]:
    """Return the functions' variables that say what language models' endpoints run."""
    image = vllm_image(stack) if settings.llm_server == "vllm" else images["huggingface"]
    return {"LLM_SERVER": settings.llm_server, "LLM_IMAGE": image}


def vllm_image(stack: cdk.Stack) -> str:
    """Return the URI of AWS's image with vLLM in the region that the stack is deployed to."""
    registry = vllm_registry(stack)
    return f"{registry}.dkr.ecr.{stack.region}.{stack.url_suffix}/{VLLM['repository']}:{VLLM['tag']}"


def vllm_registry(stack: cdk.Stack) -> str:
    """Return the account whose registry has AWS's image with vLLM, for the region that the stack is deployed to."""
    found = stack.node.try_find_child("VllmRegistries")
    regions = {region: {"Account": account} for region, account in VLLM["registries"].items()}
    mapping = found if isinstance(found, cdk.CfnMapping) else cdk.CfnMapping(stack, "VllmRegistries", mapping=regions)
    return mapping.find_in_map(cdk.Aws.REGION, "Account")
