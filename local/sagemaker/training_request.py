"""What CreateTrainingJob takes here: AWS's own rules beyond the shape, and what one machine cannot do."""

from typing import Any

from local.sagemaker.protocol import invalid
from local.sagemaker.storage import StorageError, parse_uri

COPIED = (
    "TrainingJobName", "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
    "ResourceConfig", "VpcConfig", "StoppingCondition", "EnableNetworkIsolation", "EnableManagedSpotTraining",
    "EnableInterContainerTrafficEncryption", "CheckpointConfig", "ExperimentConfig", "Environment", "RetryStrategy",
)  # fmt: skip
ACCEPTED = {*COPIED, "Tags", "ProfilerConfig", "DebugHookConfig"}  # the last two only switch AWS's tools off or on
RESERVED_PREFIXES = ("SAGEMAKER_", "SM_")
DEFAULT_RUNTIME = 86_400  # seconds; AWS's default of MaxRuntimeInSeconds


def check(request: dict[str, Any]) -> None:
    """Raises ValidationException; fills AWS's defaults into `request`."""
    for member in request.keys() - ACCEPTED:
        raise invalid(f"{member} is not implemented by the local platform.")
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member not in request:
            raise invalid(f"{member} is required.")
    _check_algorithm(request["AlgorithmSpecification"])
    _check_resources(request["ResourceConfig"])
    _check_data(request)
    stopping = request.setdefault("StoppingCondition", {})
    runtime = stopping.setdefault("MaxRuntimeInSeconds", DEFAULT_RUNTIME)
    if request.get("EnableManagedSpotTraining"):
        if stopping.get("MaxWaitTimeInSeconds", 0) < runtime:
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif "MaxWaitTimeInSeconds" in stopping:
        raise invalid("MaxWaitTimeInSeconds can only be used with EnableManagedSpotTraining")
    for name in request.get("Environment", {}):
        if name.startswith(RESERVED_PREFIXES):
            raise invalid(f"The environment variable {name} is reserved for SageMaker.")


def output_folder(request: dict[str, Any]) -> str:
    """The S3 folder of the job's archives."""
    return f"{request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{request['TrainingJobName']}/output"


def _check_algorithm(algorithm: dict[str, Any]) -> None:
    if "TrainingImage" not in algorithm:
        raise invalid("TrainingImage is required: algorithm resources are not implemented by the local platform.")
    if algorithm["TrainingInputMode"] != "File":
        raise invalid(
            f"Input mode {algorithm['TrainingInputMode']} is not implemented by the local platform; use File."
        )


def _check_resources(resources: dict[str, Any]) -> None:
    if "InstanceType" not in resources:
        raise invalid("InstanceType is required: instance groups are not implemented by the local platform.")
    if resources.get("InstanceCount", 1) != 1:
        raise invalid("The local platform is one machine: InstanceCount must be 1.")


def _check_data(request: dict[str, Any]) -> None:
    uris = [request["OutputDataConfig"]["S3OutputPath"]]
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if len(set(names)) != len(names):
        raise invalid("Channel names must be unique.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None or source["S3DataType"] != "S3Prefix":
            raise invalid(f"Channel {channel['ChannelName']}: the local platform reads S3Prefix data only.")
        if channel.get("CompressionType", "None") != "None" or channel.get("InputMode", "File") != "File":
            raise invalid(
                f"Channel {channel['ChannelName']}: the local platform reads uncompressed data in File mode only."
            )
        uris.append(source["S3Uri"])
    checkpoints = request.get("CheckpointConfig")
    if checkpoints is not None:
        uris.append(checkpoints["S3Uri"])
        if checkpoints.get("LocalPath", "/opt/ml/checkpoints").rstrip("/") != "/opt/ml/checkpoints":
            raise invalid("The local platform keeps checkpoints in /opt/ml/checkpoints only.")
    for uri in uris:
        try:
            parse_uri(uri)
        except StorageError as error:
            raise invalid(str(error)) from error
