"""Where a version comes from and what came of it: ids, which other nouns' routes resolve."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from lambdas.models.schemas import ModelVersion, PrimaryMetric


class DatasetReference(BaseModel):
    """The data that a version was trained on; `version` is null where an upload only names it."""

    id: str
    version: int | None


class Lineage(BaseModel):
    """The chain around one version. References have the form `user_id/model_id@version`."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    created_at: str
    job_id: str | None
    dataset: DatasetReference | None
    base_model: str | None
    image: str | None
    algorithm: str | None
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    primary_metric: PrimaryMetric | None
    change_note: str | None
    derived: list[str]
    """Versions of the same owner that name this one as their base model."""
    endpoints: list[str]


def reference(version: ModelVersion) -> str:
    """Return how one version names another."""
    return f"{version.owner}/{version.model_id}@{version.version}"


def lineage(version: ModelVersion, derived: list[ModelVersion]) -> Lineage:
    """Return what is known of a version's origin and use."""
    dataset = version.training_dataset
    return Lineage(
        model=reference(version),
        created_at=version.created_at,
        job_id=version.job_id,
        dataset=DatasetReference(id=dataset, version=version.dataset_version) if dataset else None,
        base_model=version.base_model,
        image=version.image,
        algorithm=version.algorithm,
        parameters=version.parameters,
        metrics=version.metrics,
        primary_metric=version.primary_metric,
        change_note=version.change_note,
        derived=[reference(other) for other in derived],
        endpoints=version.endpoints,
    )
