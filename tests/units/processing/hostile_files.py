"""Every hostile dataset that processing is tried with, by its name."""

from tests.units.processing.hostile_archives import archives
from tests.units.processing.hostile_case import Hostile
from tests.units.processing.hostile_images import pictures
from tests.units.processing.hostile_media import recordings
from tests.units.processing.hostile_parquet import parquets
from tests.units.processing.hostile_tables import csvs, jsons, texts
from tests.units.processing.hostile_workbooks import workbooks


def hostile_datasets() -> list[Hostile]:
    """Return them all."""
    return [*archives(), *parquets(), *workbooks(), *csvs(), *jsons(), *pictures(), *recordings(), *texts()]
