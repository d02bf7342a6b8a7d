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


def endpoint_resources(stack: cdk.Stack, settings: Settings) -> dict[str, list[str]]:
    """Return the ARNs of this stage's endpoints, configurations and models by the names that the grants use."""

    def named(resource: str) -> list[str]:
        name = f"slipway-{settings.stage}-*"
        return [stack.format_arn(service="sagemaker", resource=resource, resource_name=name)]

    return {
        "endpoints": named("endpoint"),
        "endpoint-configs": named("endpoint-config"),
        "endpoint-models": named("model"),
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
