"""Models and endpoint configurations: records that endpoints are made from."""

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Cloud, ImageNotFound
from local.sagemaker import listing
from local.sagemaker.concurrency import in_thread
from local.sagemaker.protocol import invalid
from local.sagemaker.storage import StorageError, parse_uri
from local.sagemaker.store import Record, Store

CONTAINER_MEMBERS = {"Image", "ModelDataUrl", "ModelDataSource", "Environment", "Mode", "ContainerHostname"}
VARIANT_MEMBERS = {
    "VariantName", "ModelName", "InitialInstanceCount", "InstanceType", "InitialVariantWeight", "VolumeSizeInGB",
    "ServerlessConfig", "ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds",
    "InferenceAmiVersion", "RoutingConfig", "ManagedInstanceScaling",
}  # fmt: skip


OF_COMPONENTS = {"ExecutionRoleArn", "EnableNetworkIsolation", "VpcConfig"}  # a model has its own
CONFIG_MEMBERS = {
    "EndpointConfigName", "ProductionVariants", "Tags", "KmsKeyId", "AsyncInferenceConfig", *OF_COMPONENTS,
}  # fmt: skip


class Models:
    """CreateModel looks for the image and the data at once, as AWS does."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._store = Store(cloud.home / "state/models")

    async def create(self, request: Record) -> Record:
        name = request["ModelName"]
        container = only_container(request)
        if "ExecutionRoleArn" not in request:
            raise invalid("ExecutionRoleArn is required by the local platform, which reads the model data with it.")
        arn = self._arn(name)
        if name in self._store:
            raise invalid(f'Cannot create already existing model "{arn}".')
        await self._check(container, request["ExecutionRoleArn"])
        kept = {m: request[m] for m in ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation") if m in request}
        description = {"ModelName": name, "ModelArn": arn, "CreationTime": time.time(), **kept}
        description["PrimaryContainer"] = {"Mode": "SingleModel", **container}
        self._store.put(name, {"description": description, "tags": request.get("Tags", [])})
        return {"ModelArn": arn}

    def describe(self, request: Record) -> Record:
        return self.find(request["ModelName"])["description"]

    def delete(self, request: Record) -> Record:
        self.find(request["ModelName"])
        self._store.delete(request["ModelName"])
        return {}

    def list(self, request: Record) -> Record:
        found, token = listing.page((r["description"] for r in self._store), request, "Model", "Descending")
        return {"Models": found, "NextToken": token}

    def find(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise invalid(f'Could not find model "{self._arn(name)}".')
        return record

    @property
    def store(self) -> Store:
        return self._store

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account}:model/{name}"

    async def _check(self, container: Record, role: str) -> None:
        try:
            await in_thread(self._cloud.image, container["Image"])
        except ImageNotFound as error:
            raise invalid(f"Requested image {container['Image']} not found.") from error
        uri, _ = model_data(container)
        if uri is None:
            return
        try:
            if not await in_thread(self._data_exists, uri, role):
                raise invalid(f"Could not find model data at {uri}.")
        except StorageError as error:
            raise invalid(str(error)) from error
        except (ClientError, BotoCoreError) as error:
            raise invalid(
                f'Could not access model data at {uri}. Please ensure that the role "{role}" exists, that SageMaker '
                f'may assume it and that it has "s3:GetObject" and "s3:ListBucket" permissions: {error}'
            ) from error

    def _data_exists(self, uri: str, role: str) -> bool:
        bucket, key = parse_uri(uri)
        s3 = self._cloud.client("s3", role_arn=role)
        return s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"] > 0


class EndpointConfigs:
    """One production variant per configuration; what this machine cannot do is refused, not ignored."""

    def __init__(self, cloud: Cloud, models: Models) -> None:
        self._cloud, self._models = cloud, models
        self._store = Store(cloud.home / "state/endpoint-configs")

    def create(self, request: Record) -> Record:
        name = request["EndpointConfigName"]
        for member in request.keys() - CONFIG_MEMBERS:
            raise invalid(f"{member} is not implemented by the local platform.")
        if len(request["ProductionVariants"]) != 1:
            raise invalid("More than one production variant is not implemented by the local platform.")
        check_hosting(request)
        self._check_variant(request["ProductionVariants"][0])
        if "AsyncInferenceConfig" in request:
            check_async(request)
        arn = self._arn(name)
        if name in self._store:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        description = {**request, "EndpointConfigArn": arn, "CreationTime": time.time()}
        self._store.put(name, {"description": description, "tags": description.pop("Tags", [])})
        return {"EndpointConfigArn": arn}

    def describe(self, request: Record) -> Record:
        return self.find(request["EndpointConfigName"])["description"]

    def delete(self, request: Record) -> Record:
        self.find(request["EndpointConfigName"])
        self._store.delete(request["EndpointConfigName"])
        return {}

    def list(self, request: Record) -> Record:
        found, token = listing.page((r["description"] for r in self._store), request, "EndpointConfig", "Descending")
        return {"EndpointConfigs": found, "NextToken": token}

    def find(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise invalid(f'Could not find endpoint configuration "{self._arn(name)}".')
        return record

    @property
    def store(self) -> Store:
        return self._store

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self._cloud.region}:{self._cloud.account}:endpoint-config/{name}"

    def _check_variant(self, variant: Record) -> None:
        for member in variant.keys() - VARIANT_MEMBERS:
            raise invalid(f"{member} of a production variant is not implemented by the local platform.")
        if "ModelName" not in variant:
            return
        model = self._models.find(variant["ModelName"])["description"]
        if "ServerlessConfig" in variant:
            if model.get("EnableNetworkIsolation"):
                raise invalid("Serverless inference does not support models with network isolation.")
            if "VpcConfig" in model:
                raise invalid("Serverless inference does not support models with a VPC configuration.")
            check_serverless(variant)
        elif "InstanceType" not in variant:
            raise invalid("InstanceType is required.")


def check_hosting(request: Record) -> None:
    """Raises ValidationException for what only inference components have, or for what they lack."""
    variant = request["ProductionVariants"][0]
    if "ModelName" in variant:
        for member in request.keys() & OF_COMPONENTS:
            raise invalid(f"{member} is only supported for inference component endpoints; a model has its own.")
        if "ManagedInstanceScaling" in variant:
            raise invalid("ManagedInstanceScaling is only supported for inference component endpoints.")
        return
    if "ExecutionRoleArn" not in request:
        raise invalid("ExecutionRoleArn is required for inference component endpoints, and a ModelName for others.")
    if "InstanceType" not in variant:
        raise invalid("InstanceType is required.")
    if "AsyncInferenceConfig" in request or "ServerlessConfig" in variant:
        raise invalid("Inference components are on real-time endpoints only.")


def check_serverless(variant: Record) -> None:
    """Raises ValidationException for what a serverless variant cannot be."""
    memory = variant["ServerlessConfig"]["MemorySizeInMB"]
    if memory % 1024:
        raise invalid(f"MemorySizeInMB {memory} is not one of 1024, 2048, 3072, 4096, 5120 and 6144.")
    for member in variant.keys() & {"InstanceType", "InitialInstanceCount", "VolumeSizeInGB", "InferenceAmiVersion"}:
        raise invalid(f"{member} and ServerlessConfig exclude each other.")
    if "ProvisionedConcurrency" in variant["ServerlessConfig"]:
        raise invalid("ProvisionedConcurrency is not implemented by the local platform.")


def check_async(request: Record) -> None:
    """Raises ValidationException for an asynchronous configuration that cannot be."""
    if "ServerlessConfig" in request["ProductionVariants"][0]:
        raise invalid("AsyncInferenceConfig is not supported for serverless endpoints.")
    output = request["AsyncInferenceConfig"]["OutputConfig"]
    if "NotificationConfig" in output:
        raise invalid("NotificationConfig is not implemented by the local platform.")
    if "S3OutputPath" not in output:
        raise invalid("S3OutputPath is required by the local platform.")


def only_container(request: Record) -> dict[str, Any]:
    """The model's one container. Raises ValidationException for several, or for what one machine cannot do."""
    containers = request.get("Containers", [])
    container = request.get("PrimaryContainer") or (containers[0] if len(containers) == 1 else None)
    if container is None:
        raise invalid("The local platform runs models of exactly one container.")
    for member in container.keys() - CONTAINER_MEMBERS:
        raise invalid(f"{member} of a container is not implemented by the local platform.")
    if "Image" not in container or container.get("Mode", "SingleModel") != "SingleModel":
        raise invalid("The local platform runs single-model containers with an Image.")
    return container


def model_data(container: Record) -> tuple[str | None, bool]:
    """(S3 URI, whether it is one `.tar.gz`) of a container's model; the URI is None when the image holds the model."""
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return container.get("ModelDataUrl"), True
    return source["S3Uri"], source["CompressionType"] == "Gzip"
