"""The folder a container knows as /opt/ml: its paths, configuration files and environment.

After SageMaker's "How Amazon SageMaker Provides Training Information" and the names of the sagemaker-training toolkit.
SAGEMAKER_BASE_DIR tells the program where the folder is, so that no root privilege is needed.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "algo-1"
GROUP = "homogeneousCluster"


@dataclass(frozen=True)
class OptMl:
    """Paths below one job's base folder."""

    base: Path

    @property
    def config(self) -> Path:
        return self.base / "input/config"

    @property
    def model(self) -> Path:
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        return self.base / "output/data"

    @property
    def failure(self) -> Path:
        return self.base / "output/failure"

    @property
    def checkpoints(self) -> Path:
        return self.base / "checkpoints"

    def channel(self, name: str) -> Path:
        return self.base / "input/data" / name

    def create(self, request: dict[str, Any]) -> None:
        """Makes the folders and writes the configuration files of a CreateTrainingJob request."""
        for folder in (self.config, self.model, self.output_data, self.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        for name, content in config_files(request).items():
            (self.config / name).write_text(json.dumps(content))


def channels(request: dict[str, Any]) -> list[dict[str, Any]]:
    return request.get("InputDataConfig", [])


def config_files(request: dict[str, Any]) -> dict[str, Any]:
    """The JSON files of /opt/ml/input/config; hyperparameter values are strings, as the API takes them."""
    instance = request["ResourceConfig"]["InstanceType"]
    return {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "resourceconfig.json": {
            "current_host": HOST,
            "current_instance_type": instance,
            "current_group_name": GROUP,
            "hosts": [HOST],
            "instance_groups": [{"instance_group_name": GROUP, "instance_type": instance, "hosts": [HOST]}],
            "network_interface_name": "lo",
        },
        "inputdataconfig.json": {
            channel["ChannelName"]: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": channel.get("RecordWrapperType", "None"),
                **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
            }
            for channel in channels(request)
        },
    }


def training_environment(request: dict[str, Any], job_arn: str, region: str, paths: OptMl) -> dict[str, str]:
    """SageMaker's and the training toolkit's variables, over the request's own; never a credential."""
    files = config_files(request)
    names = [channel["ChannelName"] for channel in channels(request)]
    parameters = files["hyperparameters.json"]
    return {
        **request.get("Environment", {}),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "TRAINING_JOB_NAME": request["TrainingJobName"],
        "TRAINING_JOB_ARN": job_arn,
        "SAGEMAKER_BASE_DIR": str(paths.base),
        "SM_MODEL_DIR": str(paths.model),
        "SM_INPUT_DIR": str(paths.base / "input"),
        "SM_INPUT_CONFIG_DIR": str(paths.config),
        "SM_OUTPUT_DIR": str(paths.base / "output"),
        "SM_OUTPUT_DATA_DIR": str(paths.output_data),
        "SM_CHANNELS": json.dumps(names),
        **{f"SM_CHANNEL_{name.upper()}": str(paths.channel(name)) for name in names},
        "SM_HPS": json.dumps(parameters),
        **{f"SM_HP_{name.upper().replace('-', '_')}": value for name, value in parameters.items()},
        "SM_RESOURCE_CONFIG": json.dumps(files["resourceconfig.json"]),
        "SM_INPUT_DATA_CONFIG": json.dumps(files["inputdataconfig.json"]),
        "SM_CURRENT_HOST": HOST,
        "SM_HOSTS": json.dumps([HOST]),
        "SM_NUM_CPUS": str(os.cpu_count() or 1),
        "SM_NUM_GPUS": "0",
    }
