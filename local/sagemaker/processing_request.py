"""What CreateProcessingJob takes here: AWS's own rules beyond the shape, and what one machine cannot do."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from local.sagemaker.protocol import invalid
from local.sagemaker.storage import StorageError, parse_uri

COPIED = (
    "ProcessingJobName", "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "StoppingCondition",
    "AppSpecification", "Environment", "NetworkConfig", "RoleArn", "ExperimentConfig",
)  # fmt: skip
CONTAINER_BASE = PurePosixPath("/opt/ml")
LOCAL_PATHS = CONTAINER_BASE / "processing"  # where AWS lets inputs and outputs be
DEFAULT_RUNTIME = 86_400  # seconds; AWS's default of MaxRuntimeInSeconds


def check(request: dict[str, Any]) -> None:
    """Raises ValidationException; fills AWS's defaults into `request`."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    if "InstanceType" not in cluster:
        raise invalid("InstanceType is required: instance preferences are not implemented by the local platform.")
    if cluster.setdefault("InstanceCount", 1) != 1:
        raise invalid("The local platform is one machine: InstanceCount must be 1.")
    request.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_RUNTIME})
    if "SAGEMAKER_BASE_DIR" in request.get("Environment", {}):
        raise invalid("The environment variable SAGEMAKER_BASE_DIR is the local platform's own.")
    _check_names("Input", request.get("ProcessingInputs", []))
    _check_names("Output", request.get("ProcessingOutputConfig", {}).get("Outputs", []))
    for item in request.get("ProcessingInputs", []):
        _check_input(f"Input {item['InputName']}", item)
    for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        _check_output(f"Output {item['OutputName']}", item)


def inputs(request: dict[str, Any], base: Path) -> Iterator[tuple[str, Path]]:
    """(S3 URI, folder) of each input; `base` is what the program knows as /opt/ml."""
    for item in request.get("ProcessingInputs", []):
        yield item["S3Input"]["S3Uri"], below(base, item["S3Input"]["LocalPath"])


def outputs(request: dict[str, Any], base: Path) -> Iterator[tuple[str, Path]]:
    """(S3 URI, folder) of each output."""
    for item in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        yield item["S3Output"]["S3Uri"], below(base, item["S3Output"]["LocalPath"])


def below(base: Path, path: str) -> Path:
    """The place of a path below /opt/ml on this machine."""
    return base / PurePosixPath(path).relative_to(CONTAINER_BASE)


def _check_names(kind: str, items: list[dict[str, Any]]) -> None:
    names = [item[f"{kind}Name"] for item in items]
    if len(set(names)) != len(names):
        raise invalid(f"{kind} names must be unique.")


def _check_input(what: str, item: dict[str, Any]) -> None:
    source = item.get("S3Input")
    if source is None or item.get("AppManaged"):
        raise invalid(f"{what}: the local platform reads S3Input that it downloads itself only.")
    if source["S3DataType"] != "S3Prefix" or source.setdefault("S3InputMode", "File") != "File":
        raise invalid(f"{what}: the local platform reads S3Prefix data in File mode only.")
    if source.get("S3CompressionType", "None") != "None":
        raise invalid(f"{what}: S3CompressionType Gzip can only be used with S3InputMode Pipe.")
    _check_place(what, source)


def _check_output(what: str, item: dict[str, Any]) -> None:
    target = item.get("S3Output")
    if target is None or item.get("AppManaged"):
        raise invalid(f"{what}: the local platform writes S3Output that it uploads itself only.")
    if target["S3UploadMode"] != "EndOfJob":
        raise invalid(f"{what}: the local platform uploads at the end of the job only; use EndOfJob.")
    _check_place(what, target)


def _check_place(what: str, location: dict[str, Any]) -> None:
    path = PurePosixPath(location.get("LocalPath", ""))
    if not path.is_relative_to(LOCAL_PATHS) or path == LOCAL_PATHS or ".." in path.parts:
        raise invalid(f"{what}: LocalPath must begin with {LOCAL_PATHS}/.")
    try:
        parse_uri(location["S3Uri"])
    except StorageError as error:
        raise invalid(f"{what}: {error}.") from error
