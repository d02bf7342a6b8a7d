"""What clients send about models, and what an upload is answered with."""

from typing import Annotated, Any

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from lambdas.common.uploads import UploadPlan
from lambdas.models.schemas import (
    CustomMetadata,
    Dependencies,
    Described,
    DisplayName,
    Framework,
    ModelName,
    ModelPublic,
    ModelType,
    Shape,
    Tags,
    Text,
    Username,
    VersionName,
    Visibility,
)

NewVersion = Annotated[str, StringConstraints(pattern=r"^(auto|v[0-9]{1,9}(\.[0-9]{1,9}){0,2})$")]
Count = Annotated[int, Field(ge=0, le=10**15)]


def split(value: Any) -> Any:
    """Return the tags of a form, which come as one text with commas between them."""
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return [tag.strip() for text in texts for tag in text.split(",") if tag.strip()]
    return value


CommaSeparated = Annotated[Tags, BeforeValidator(split)]


class Body(BaseModel):
    """A request's body: fields nobody knows are refused."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelCreate(Body, Described):
    """A version to register."""

    user_id: Username | None = Field(default=None, description="The owner: you, when absent.")
    model_id: ModelName
    name: DisplayName
    version: NewVersion = Field(default="v1", description="A name such as v2 or v1.0.3, or `auto` for the next number.")
    framework: Framework | None = Field(default=None, description="What the primary file's name says, when absent.")
    model_type: ModelType = "other"


class SingleUpload(ModelCreate):
    """A form with one file of at most 4 MiB."""

    file: UploadFile
    is_primary: bool = False
    tags: CommaSeparated = Field(default_factory=list, description="Separated by commas.")


class FolderUpload(ModelCreate):
    """A form with a ZIP of at most 4 MiB."""

    zip_file: UploadFile
    preserve_structure: bool = Field(default=True, description="Keep folders; without, files get their bare names.")
    tags: CommaSeparated = Field(default_factory=list, description="Separated by commas.")


class FileUpload(Body):
    """A file that is to come."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    size: int = Field(ge=0, le=50 * 1024**4, description="Bytes.")
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="When one of your models has this very file, nothing needs to be uploaded."
    )
    is_primary: bool = False
    description: Text | None = None


class UploadCreate(ModelCreate):
    """A version to register, and the files that it will have."""

    version: NewVersion = Field(
        default="auto", description="A name such as v2 or v1.0.3, or `auto` for the next number."
    )
    files: list[FileUpload] = Field(min_length=1, max_length=500)


class ImportCreate(Body):
    """A repository of the Hugging Face Hub to import as a version."""

    user_id: Username | None = Field(default=None, description="The owner: you, when absent.")
    repo_id: Annotated[
        str, StringConstraints(pattern=r"^([A-Za-z0-9][\w-]*(\.[\w-]+)*/)?[A-Za-z0-9][\w-]*(\.[\w-]+)*$", max_length=96)
    ] = Field(examples=["Qwen/Qwen3-0.6B"])
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w-]*([./][\w-]+)*$", max_length=200)] = Field(
        default="main", description="A branch, a tag, or a commit, which alone never changes."
    )
    model_id: ModelName | None = Field(default=None, description="The repository's own name, when absent.")
    name: DisplayName | None = Field(default=None, description="The `repo_id`, when absent.")
    version: NewVersion = Field(
        default="auto", description="A name such as v2 or v1.0.3, or `auto` for the next number."
    )


class FileUpdate(Body):
    """A file's new description."""

    filename: str
    description: Text | None


def without_defaults(schema: dict[str, Any]) -> None:
    """Take the defaults out of a schema whose absent fields mean "as it is"."""
    for field in schema["properties"].values():
        field.pop("default", None)


class ModelUpdate(Body, Described):
    """Changes to a version: what is absent stays as it is, null clears."""

    model_config = ConfigDict(json_schema_extra=without_defaults)

    name: DisplayName = ""
    framework: Framework = "other"
    model_type: ModelType = "other"
    input_shape: Shape | None = None
    output_shape: Shape | None = None
    num_parameters: Count | None = None
    dependencies: Dependencies = Field(default_factory=list)
    custom_metadata: CustomMetadata = Field(default_factory=dict)
    is_active: bool = True
    is_production_ready: bool = False
    visibility: Visibility = "private"
    files: list[FileUpdate] = Field(default_factory=list, max_length=1000, description="Descriptions of files.")


class AliasUpdate(Body):
    """Where an alias shall point."""

    version: VersionName


class UploadStarted(BaseModel):
    """A version that is `uploading`; `uploads` has the plan of each file, null for a file that the registry has."""

    model_config = ConfigDict(protected_namespaces=())

    model: ModelPublic
    uploads: dict[str, UploadPlan | None]
