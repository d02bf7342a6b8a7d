"""The settings of `make deploy-inference-endpoint` and its like: from the environment, or else from `.env`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from local.home import REPOSITORY
from operations.terminal import OperationError

LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


class InferenceSettings(BaseModel):
    """What to deploy, as what, and how to ask it. Names are those of the environment."""

    model_config = ConfigDict(protected_namespaces=(), extra="ignore")

    MODEL_ID: str | None = Field(default=None, pattern=r"^([a-z0-9-]+/)?[a-z0-9][a-z0-9._-]*(@[a-z0-9.-]+)?$")
    """The model to deploy: `model_id`, `model_id@version`, or `user_id/model_id@version`."""
    GPU_INSTANCE_TYPE: str | None = None
    """What it runs on; the stage's first instance type when absent."""
    SAGEMAKER_ENDPOINT_INFERENCE: str = "inference"
    """The endpoint's name."""
    SAGEMAKER_ENDPOINT_CONFIG_INFERENCE: str | None = None
    """Told, and not used: the platform gives an endpoint's configuration the name of the endpoint at SageMaker."""
    ENDPOINT_TYPE: Literal["MODEL_BASED", "INFERENCE_COMPONENT_BASED"] | None = None
    """For language models: an endpoint of its own, or one that several models share."""
    ARN_ROLE: str | None = None
    """The execution role. There is one per stage; another one is refused."""
    MAX_NEW_TOKENS_INFERENCE: int | None = Field(default=None, ge=1)
    TEMPERATURE_INFERENCE: float | None = Field(default=None, ge=0)
    REPETITION_PENALTY_INFERENCE: float | None = Field(default=None, gt=0)
    SLIPWAY_USERNAME: str | None = None
    SLIPWAY_PASSWORD: str | None = None
    SLIPWAY_TOKEN: str | None = None
    """An ID token, instead of name and password."""

    @field_validator("*", mode="before")
    @classmethod
    def empty_is_absent(cls, value: str) -> str | None:
        return None if value == "" else value

    @property
    def model(self) -> dict[str, str]:
        """The model as the API names one; raises OperationError when none is set."""
        if self.MODEL_ID is None:
            raise OperationError("Say which model: MODEL_ID=<model_id>[@<version>] in the environment or in .env.")
        owner, _, rest = self.MODEL_ID.rpartition("/")
        model_id, _, version = rest.partition("@")
        named = {"model_id": model_id, "version": version, "user_id": owner}
        return {name: value for name, value in named.items() if value}

    @property
    def parameters(self) -> dict[str, float]:
        """How a language model shall write, as far as it is set."""
        named = {
            "max_new_tokens": self.MAX_NEW_TOKENS_INFERENCE,
            "temperature": self.TEMPERATURE_INFERENCE,
            "repetition_penalty": self.REPETITION_PENALTY_INFERENCE,
        }
        return {name: value for name, value in named.items() if value is not None}


def read(file: Path = REPOSITORY / ".env", environment: Mapping[str, str] = os.environ) -> InferenceSettings:
    """Return the settings; the environment goes before the file. Raises OperationError naming what is wrong."""
    known = InferenceSettings.model_fields
    found = {**(variables(file.read_text()) if file.exists() else {}), **environment}
    try:
        return InferenceSettings.model_validate({name: found[name] for name in known if found.get(name)})
    except ValidationError as error:
        wrong = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
        raise OperationError(f"Settings that cannot be used: {wrong}.") from error


def variables(text: str) -> dict[str, str]:
    """Return the variables of a `.env` file: NAME=value, one a line, with or without quotes; `#` begins a comment."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.lstrip().startswith("#") and (match := LINE.fullmatch(line)):
            name, value = match.groups()
            quoted = re.fullmatch(r"""(["'])(.*)\1(\s+#.*)?""", value)
            found[name] = quoted[2] if quoted else re.sub(r"\s+#.*$", "", value)
    return found
