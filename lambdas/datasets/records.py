"""The records of datasets and their versions in the table, and their names."""

from lambdas.common.store import EntityStore
from lambdas.datasets.schemas import Dataset, Version

DATASETS = EntityStore("DATASETS_TABLE", Dataset, "dataset")
# In the same table: `dsv-<the dataset's 19 characters>-0001`, so that a dataset's versions stand together, in order.
VERSIONS = EntityStore("DATASETS_TABLE", Version, "dataset version")
MAX_VERSIONS = 9_999


def version_id(dataset_id: str, version: int) -> str:
    """Return the id of a version: of its record, its wait, its execution and its processing job."""
    return f"{versions_of(dataset_id)}{version:04d}"


def versions_of(dataset_id: str) -> str:
    """Return what the ids of a dataset's versions begin with."""
    return f"dsv-{dataset_id.removeprefix('ds-')}-"


def dataset_folder(owner: str, id: str) -> str:
    """Return the prefix of all S3 keys of a dataset."""
    return f"{owner}/{id}/"
