"""The readiness matrix: real files of every training type and format with one defect each, read and judged whole.

Run: python -m pytest tests/units/processing/test_readiness_matrix.py -s   (prints the matrix)
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdas.datasets.column_mapping import TrainingType
from lambdas.datasets.profile import Profile
from lambdas.datasets.readiness import NEEDS, readiness
from lambdas.processing.process import process
from lambdas.processing.report import Report
from lambdas.processing.source import local_file
from tests.units.processing import sample_datasets as samples
from tests.units.processing.image_cells import image_cells
from tests.units.processing.readiness_cells import Cell, Write
from tests.units.processing.table_cells import reviews, table_cells
from training_containers.common.contract import TrainingError
from training_containers.common.tables import find_files
from training_containers.tabular import data as container

pytestmark = pytest.mark.thorough

EXTENSIONS = {"excel": "xlsx", "coco": "zip"}
TRAINING_TYPES: list[TrainingType] = [training_type for training_type in NEEDS if training_type != "custom"]
OTHERS: list[tuple[str, str, Write]] = [
    ("audio", "wav", lambda path: samples.write_sound(path, "wav")),
    ("audio", "flac", lambda path: samples.write_sound(path, "flac")),
    ("audio", "mp3", lambda path: samples.write_sound(path, "mp3")),
    ("video", "mp4", samples.write_film),
]


def other_cells() -> Iterator[Cell]:
    """Sound datasets of a type or a format that the training does not learn from."""
    for training_type in TRAINING_TYPES:
        for type, format, write in OTHERS:
            yield Cell(training_type, type, format, format, f"{type} dataset", write, "trains_nothing_yet")
        of_images = "image" in NEEDS[training_type].takes
        code = "wrong_format" if of_images else "wrong_type"
        yield Cell(training_type, "image", "png", "png", "a single image", write_picture, code)
        if of_images or training_type == "tabular":
            yield Cell(training_type, "text", "csv", "csv", "text dataset", write_reviews, "wrong_type")
    for type, format, write in OTHERS:
        yield Cell("custom", type, format, format, f"{type} dataset", write, "ready")


def write_picture(path: Path) -> None:
    path.write_bytes(samples.picture(1))


def write_reviews(path: Path) -> None:
    samples.write_table(path, "csv", reviews())


def processed(cell: Cell, folder: Path) -> Report:
    """Write the dataset and process it."""
    (folder / "files").mkdir()
    (folder / "output").mkdir()
    path = folder / "files" / f"data.{EXTENSIONS.get(cell.format, cell.format)}"
    cell.write(path)
    return process([local_file(path)], cell.type, cell.format, folder / "output")


def verdict(cell: Cell, folder: Path) -> str:
    """Process the dataset, read the report as the control plane does and ask for its readiness."""
    if processed(cell, folder).refused:
        return "refused"
    found = json.loads((folder / "output" / "report.json").read_text())
    profile = Profile.model_validate({name: found[name] for name in Profile.model_fields})
    answer = readiness(profile, cell.type, cell.format, cell.training_type, {})
    assert answer.ready is not bool(answer.problems)
    problems = " ".join(problem.code for problem in answer.problems) or "ready"
    return f"{problems} ({' '.join(warning.code for warning in answer.warnings)})" if answer.warnings else problems


MATRIX = [*table_cells(), *image_cells(), *other_cells()]


@pytest.mark.parametrize("cell", MATRIX, ids=str)
def test_a_dataset_with_a_defect_is_told_exactly_that(cell: Cell, tmp_path: Path) -> None:
    told = verdict(cell, tmp_path)
    print(f"\n{cell.training_type:21}{cell.layout:15}{cell.defect:34}{told}", end=" ")
    assert told == cell.expected


@pytest.mark.slow
@pytest.mark.parametrize("cell", [cell for cell in MATRIX if "tabular" == cell.type == cell.training_type], ids=str)
def test_the_tabular_container_refuses_what_is_not_ready_and_nothing_else(cell: Cell, tmp_path: Path) -> None:
    processed(cell, tmp_path)
    folder = "output/converted" if cell.format in ("excel", "json") else "files"
    files = find_files(tmp_path / folder, tuple(container.READERS))
    refused = ""
    try:
        container.load(files, container.TabularConfig(target="target"))
    except TrainingError as error:
        refused = str(error)
    assert bool(refused) is not cell.expected.startswith("ready"), refused


def test_the_matrix_has_every_training_type_and_every_format_it_takes() -> None:
    assert len({str(cell) for cell in MATRIX}) == len(MATRIX) > 60
    sound = {(cell.training_type, cell.type, cell.format) for cell in MATRIX if cell.defect.startswith("sound")}
    for training_type in TRAINING_TYPES:
        for type, formats in NEEDS[training_type].takes.items():
            missing = {(training_type, type, format) for format in formats} - sound
            # A table is read alike whether it is called text or tabular.
            assert {one for one in missing if (training_type, "text", one[2]) not in sound} == set()
