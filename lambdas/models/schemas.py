"""A model version: what is asked for, stored and shown. The fields and enums are those of the registry's API."""

import json
import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_serializer

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
Status = Literal["uploading", "scanning", "ready", "blocked", "failed", "deleting"]
Verdict = Literal["clean", "suspicious", "malicious", "unscanned"]
Visibility = Literal["private", "shared"]

MODEL_TYPES: tuple[str, ...] = get_args(ModelType)
# Routes under /ai-models, so no user has these names.
RESERVED = {"search", "upload", "uploads", "imports", "compare"}
MAX_JSON_BYTES = 16_384  # of custom metadata: a record is at most 400 KB, and lists read a hundred of them
MAX_JSON_LEVELS = 100  # an answer is not written from 255 on


def not_reserved(name: str) -> str:
    """Return the name unless it is a route."""
    if name in RESERVED:
        raise ValueError(f"{name} is a reserved word")
    return name


def no_version(alias: str) -> str:
    """Return the alias unless it could be taken for a version."""
    if alias in {"latest", "auto"} or re.match(r"v[0-9]", alias):
        raise ValueError("looks like a version")
    return alias


def unique(values: list[str]) -> list[str]:
    """Return the values without repetitions, in order."""
    return list(dict.fromkeys(values))


def parsed(value: Any) -> Any:
    """Return the object that a stored JSON text stands for; anything else as it is."""
    return json.loads(value) if isinstance(value, str) else value


def small(value: dict[str, Any]) -> dict[str, Any]:
    """Return the object if it is JSON, and not too much of it."""
    if nesting(value) > MAX_JSON_LEVELS:
        raise ValueError(f"is nested more than {MAX_JSON_LEVELS} deep")
    text = json.dumps(value, allow_nan=False)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"is more than {MAX_JSON_BYTES} characters as JSON")
    return value


def nesting(value: Any) -> int:
    """Return how many levels of objects and lists a JSON value has."""
    levels, layer = 0, [value]
    while layer := [inner for outer in layer for inner in inside(outer)]:
        levels += 1
    return levels


def inside(value: Any) -> list[Any]:
    """Return what an object or list holds."""
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$"), AfterValidator(not_reserved)]
VersionName = Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,9}(\.[0-9]{1,9}){0,2}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$"), AfterValidator(no_version)]
VersionOrAlias = Annotated[str, StringConstraints(pattern=r"^(v[0-9]{1,9}(\.[0-9]{1,9}){0,2}|[a-z][a-z0-9-]{0,31})$")]
NewVersion = Annotated[str, StringConstraints(pattern=r"^(auto|v[0-9]{1,9}(\.[0-9]{1,9}){0,2})$")]
Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,38}$"), AfterValidator(not_reserved)]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120, pattern=PRINTABLE)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=PRINTABLE)]
Text = Annotated[str, StringConstraints(max_length=4000)]
Tag = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f,]*$")
]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(unique)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Loss = Annotated[float, Field(allow_inf_nan=False)]
Shape = Annotated[list[Annotated[int, Field(ge=-1, le=10**12)]], Field(max_length=16)]
Dependencies = Annotated[list[Annotated[str, StringConstraints(max_length=200)]], Field(max_length=200)]
Reference = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,38}/[a-z0-9][a-z0-9._-]{0,62}@v[0-9.]{1,30}$"),
    Field(description="A version in this registry: `user_id/model_id@version`.", examples=["ada/bert-base@v1"]),
]
# Kept in the table as text: DynamoDB's numbers and its 32 levels would change what people wrote.
Json = Annotated[dict[str, Any], BeforeValidator(parsed)]
CustomMetadata = Annotated[Json, AfterValidator(small)]


class ModelReference(BaseModel):
    """A version in the registry, by name or alias; the latest when `version` is absent, yours when `user_id` is."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model_id: ModelName
    version: VersionOrAlias | None = None
    user_id: Username | None = None


class Finding(BaseModel):
    """What the scanner saw in a file, and where."""

    severity: Literal["malicious", "suspicious", "info"]
    code: str
    message: str


class ModelFile(BaseModel):
    """One file of a version."""

    filename: str = Field(description="With its folders, as in `weights/layer1.pth`.")
    file_path: str = Field(description="The object's key in the models bucket.")
    file_size: int
    file_type: str = Field(description="The extension.", examples=[".onnx"])
    file_hash: str | None = Field(
        default=None, description="SHA-256, computed by the registry; null until scanned, and for files over 1 GiB."
    )
    content_type: str = "application/octet-stream"
    is_primary: bool = False
    description: str | None = None
    format: str | None = Field(default=None, description="What the content says that it is.")
    verdict: Verdict = "unscanned"
    findings: list[Finding] = Field(default_factory=list)


class StoredFile(ModelFile):
    """A file as the manifest keeps it; `crc32` is S3's own, and None until the object is there."""

    crc32: int | None = None
    scanned: bool = False
    framework: Framework | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class PrimaryMetric(BaseModel):
    """The one figure by which versions of this kind are compared."""

    name: str
    value: float
    direction: Literal["max", "min"]


class TrainingResults(BaseModel):
    """What a training container says of its model in metrics.json; it may say more, which is kept as a file."""

    primary_metric: PrimaryMetric | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    history: list[dict[str, Any]] = Field(default_factory=list)


class MetricRange(BaseModel):
    """What a figure came to while the model trained."""

    last: float
    min: float
    max: float


class HubSource(BaseModel):
    """Where on the Hugging Face Hub a version comes from."""

    repo_id: str
    revision: str = Field(description="As it was asked for.")
    commit: str = Field(description="What the revision was then; the files are those of this commit.")


class Evaluation(BaseModel):
    """What a version came to on a dataset: the figures that training has, on all of its rows."""

    job_id: str
    dataset_id: str
    dataset_version: int
    primary_metric: PrimaryMetric | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    at: str


class Described(BaseModel):
    """What its owner says of a version, beside its name and kind; all of it may be left out, and changed later."""

    description: Text | None = None
    algorithm: Line | None = None
    tags: Tags = Field(default_factory=list)
    training_accuracy: Fraction | None = None
    validation_accuracy: Fraction | None = None
    test_accuracy: Fraction | None = None
    training_loss: Loss | None = None
    training_dataset: Line | None = None
    license: Line | None = Field(default=None, description="By its SPDX or Hub identifier.", examples=["apache-2.0"])
    python_version: Line | None = None
    hardware_requirements: Line | None = None
    base_model: Reference | None = None
    change_note: Text | None = None


class ModelFields(Described):
    """What a version says of itself, to its owner and to those it is shared with."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    version: str
    name: str
    framework: Framework = Field(description="As declared; `detected_framework` is what the files say.")
    detected_framework: Framework | None = None
    model_type: ModelType
    status: Status
    reason: str | None = Field(default=None, description="Why it failed or is blocked.")
    verdict: Verdict = "unscanned"
    visibility: Visibility = "private"
    file_count: int = 0
    primary_file_path: str | None = None
    input_shape: list[int] | None = None
    output_shape: list[int] | None = None
    num_parameters: int | None = None
    dependencies: list[str] = Field(default_factory=list)
    custom_metadata: Json = Field(default_factory=dict)
    aliases: list[str] = Field(default_factory=list)
    is_active: bool = True
    is_production_ready: bool = False
    primary_metric: PrimaryMetric | None = None
    metrics: Json = Field(default_factory=dict)
    metric_ranges: dict[str, MetricRange] = Field(default_factory=dict)
    evaluations: list[Evaluation] = Field(default_factory=list, description="The newest of each dataset's version.")
    parameters: Json = Field(default_factory=dict)
    image: str | None = Field(default=None, description="The image family that trained it and can serve it.")
    source: HubSource | None = Field(default=None, description="Set when it was imported from Hugging Face.")
    training_type: str | None = Field(default=None, description="Of the job that made it.")
    job_id: str | None = None
    dataset_version: int | None = None


class ModelVersion(ModelFields, Entity):
    """A version as it is stored; its files are listed in its manifest, in S3."""

    ordinal: int = 0
    """The how-manieth of its owner's versions it is: its place in the search index."""
    indexed: bool = False
    size_bytes: int = 0
    stored_bytes: int = 0
    """What its owner's counter of storage has of it."""
    image_uri: str | None = None
    model_archive: str | None = None
    """The key of the archive that a training container made, which its image can serve."""

    @field_serializer("custom_metadata", "metrics", "parameters")
    def as_text(self, value: dict[str, Any]) -> str:
        return json.dumps(value)

    @property
    def prefix(self) -> str:
        """The prefix of its objects in the models bucket."""
        return f"{self.owner}/{self.model_id}/{self.version}/"

    @property
    def endpoints(self) -> list[str]:
        """The ids of the endpoints that serve it."""
        return sorted(holder for holder in self.holds if holder.startswith("ep-"))


class ModelSummary(ModelFields):
    """A version as lists show it."""

    id: str
    user_id: str
    model_size_mb: float
    deployed: bool = Field(description="Whether an endpoint serves this version.")
    endpoints: list[str] = Field(description="The ids of those endpoints.")
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, version: ModelVersion, **more: Any) -> Self:
        """Return what may be shown of a version."""
        hidden = {"owner", "holds", "revision", "schema_version", "image_uri"}
        hidden |= {"ordinal", "indexed", "size_bytes", "stored_bytes", "model_archive"}
        return cls(
            **version.model_dump(exclude=hidden),
            user_id=version.owner,
            model_size_mb=round(version.size_bytes / 1_000_000, 3),
            deployed=bool(version.endpoints),
            endpoints=version.endpoints,
            **more,
        )


class ModelPublic(ModelSummary):
    """A version with its files."""

    files: list[ModelFile]
