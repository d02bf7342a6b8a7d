"""What the registry stores about a model version, and what it shows."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, StringConstraints

from lambdas.common.store import Entity

Framework = Literal["pytorch", "tensorflow", "sklearn", "onnx", "keras", "huggingface", "other"]
ModelType = Literal[
    "classification",
    "regression",
    "clustering",
    "nlp",
    "computer_vision",
    "recommendation",
    "time_series",
    "reinforcement_learning",
    "other",
]
Status = Literal["uploading", "scanning", "ready", "blocked", "failed"]
Verdict = Literal["clean", "suspicious", "malicious", "unscanned"]
Visibility = Literal["private", "shared"]

MODEL_TYPES: tuple[str, ...] = get_args(ModelType)
RESERVED = {"search", "upload", "uploads", "compare"}  # they are routes under /ai-models

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
VersionName = Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,9}(\.[0-9]{1,9}){0,2}$")]


class ModelFile(BaseModel):
    """One file of a version. `file_hash` is the SHA-256 that the registry computed itself."""

    filename: str
    file_path: str = Field(description="The object's key in the models bucket.")
    file_size: int
    file_type: str
    file_hash: str
    content_type: str = "application/octet-stream"
    is_primary: bool = False
    description: str | None = None


class PrimaryMetric(BaseModel):
    """The one figure by which versions of this kind are compared."""

    name: str
    value: float
    direction: Literal["max", "min"]


class TrainingResults(BaseModel):
    """What a training container says of its model in metrics.json; it may say more, which is kept as a file."""

    primary_metric: PrimaryMetric | None = None
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelFields(BaseModel):
    """What a version says of itself, to its owner and to those it is shared with."""

    model_id: ModelName
    version: VersionName
    name: str
    description: str | None = None
    framework: Framework
    model_type: ModelType
    algorithm: str | None = None
    status: Status
    verdict: Verdict = "unscanned"
    visibility: Visibility = "private"
    files: list[ModelFile] = Field(default_factory=list)
    primary_file_path: str | None = None
    primary_metric: PrimaryMetric | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    test_accuracy: float | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    image: str | None = Field(default=None, description="The image family that trained it and can serve it.")
    job_id: str | None = None
    training_dataset: str | None = None
    dataset_version: int | None = None
    tags: list[str] = Field(default_factory=list)
    is_active: bool = True
    is_production_ready: bool = False


class ModelVersion(ModelFields, Entity):
    """A version as it is stored."""

    image_uri: str | None = None

    def file(self, filename: str) -> ModelFile | None:
        """Return the file of that name, or None."""
        return next((file for file in self.files if file.filename == filename), None)


class ModelPublic(ModelFields):
    """A version as it is shown."""

    id: str
    user_id: str
    model_size_mb: float
    deployed: bool = Field(description="Whether an endpoint serves this version.")
    endpoints: list[str] = Field(description="The ids of those endpoints.")
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, version: ModelVersion) -> "ModelPublic":
        """Return what may be shown of a version."""
        endpoints = sorted(holder for holder in version.holds if holder.startswith("ep-"))
        shown = version.model_dump(exclude={"owner", "holds", "revision", "schema_version", "image_uri"})
        size = sum(file.file_size for file in version.files)
        return cls(
            **shown,
            user_id=version.owner,
            model_size_mb=round(size / 1_000_000, 3),
            deployed=bool(endpoints),
            endpoints=endpoints,
        )
