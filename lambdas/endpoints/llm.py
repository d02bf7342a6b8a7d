"""Endpoints of language models: what may be set of their server, and how SageMaker is told."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lambdas.common.environment import variable
from lambdas.common.errors import BadRequest, Conflict
from lambdas.common.instances import has_gpu
from lambdas.endpoints.servable import Servable
from lambdas.models.schemas import ModelVersion

KINDS = {"model_based", "inference_component_based"}
Seconds = Annotated[int, Field(ge=60, le=3600)]
AmiVersion = Literal[
    "al2-ami-sagemaker-inference-gpu-2",
    "al2-ami-sagemaker-inference-gpu-2-1",
    "al2-ami-sagemaker-inference-gpu-3-1",
    "al2023-ami-sagemaker-inference-gpu-4-1",
]


class LlmSettings(BaseModel):
    """How a language model is served: vLLM's own settings, and how long the model may take to be there."""

    model_config = ConfigDict(extra="forbid")

    tensor_parallel_size: int = Field(default=1, ge=1, le=16, description="GPUs of an instance that share the model.")
    max_model_len: int | None = Field(
        default=None, ge=16, le=1_048_576, description="Tokens of a prompt and its answer; the model's own when null."
    )
    quantization: Literal["awq", "gptq", "fp8", "bitsandbytes"] | None = Field(
        default=None, description="How the weights are, or are to be, quantised; as the model says when null."
    )
    gpu_memory_utilization: float = Field(default=0.9, ge=0.1, le=0.98, description="Share of each GPU's memory.")
    inference_ami_version: AmiVersion = Field(
        default="al2023-ami-sagemaker-inference-gpu-4-1", description="The host's image: its NVIDIA driver."
    )
    model_download_timeout_seconds: Seconds = 1800
    startup_health_check_timeout_seconds: Seconds = 1200


def checked(
    kind: str, settings: LlmSettings | None, version: ModelVersion, served: Servable, instance_type: str | None
) -> LlmSettings | None:
    """Return the settings of an endpoint of that kind, None for one of another kind.

    Raises Conflict for a model that generates no text, BadRequest for settings or an instance type that do not fit.
    """
    if kind not in KINDS:
        if settings is not None:
            raise wrong("llm", f"llm belongs to kind {' or '.join(sorted(KINDS))}.")
        return None
    if not served.generates_text:
        raise Conflict(f"{version.model_id} {version.version} generates no text; deploy it with kind realtime.")
    if variable("LLM_SERVER") == "vllm" and not has_gpu(instance_type or ""):
        raise wrong("instance_type", f"vLLM needs an instance type with GPUs, and {instance_type} has none.")
    return settings or LlmSettings()


def wrong(field: str, message: str) -> BadRequest:
    """Return the error of one field."""
    return BadRequest(message, errors=[{"field": field, "message": message}])


def container(image: str, model_data: dict[str, Any], settings: LlmSettings) -> dict[str, Any]:
    """Return the container of a model for AWS's image with vLLM.

    Its entry point makes an argument of each `SM_VLLM_*` variable, and takes the model from /opt/ml/model, where
    SageMaker lays it (aws/deep-learning-containers, docs/vllm/deployment/sagemaker.md).
    """
    return {"Image": image, **model_data, "Environment": environment(settings)}


def environment(settings: LlmSettings) -> dict[str, str]:
    """Return vLLM's arguments as that image's variables."""
    given = {
        "TENSOR_PARALLEL_SIZE": settings.tensor_parallel_size,
        "MAX_MODEL_LEN": settings.max_model_len,
        "QUANTIZATION": settings.quantization,
        "GPU_MEMORY_UTILIZATION": settings.gpu_memory_utilization,
    }
    return {f"SM_VLLM_{name}": str(value) for name, value in given.items() if value is not None}


def startup(settings: LlmSettings) -> dict[str, int]:
    """Return how long a container may take to be there."""
    return {
        "ModelDataDownloadTimeoutInSeconds": settings.model_download_timeout_seconds,
        "ContainerStartupHealthCheckTimeoutInSeconds": settings.startup_health_check_timeout_seconds,
    }


def on_the_variant(settings: LlmSettings, instance_type: str) -> dict[str, Any]:
    """Return what a production variant says besides its model and instances."""
    return startup(settings) | driver(settings, instance_type)


def driver(settings: LlmSettings, instance_type: str) -> dict[str, Any]:
    """Return what a production variant says of its hosts' image: nothing where there is no GPU."""
    return {"InferenceAmiVersion": settings.inference_ami_version} if has_gpu(instance_type) else {}
