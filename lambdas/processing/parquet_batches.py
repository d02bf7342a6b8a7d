"""The rows of a Parquet file in batches of a few megabytes, however many columns and however large row groups are."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

BATCH_BYTES = 8 * 1024 * 1024  # what a batch holds, unless one row is larger
BATCH_ROWS = 65_536
LARGEST_PAGE = 1024 * 1024  # as writers make them
COPIES = 4  # of a page and of its dictionary, packed and unpacked, that Arrow keeps for each column it reads
OPEN_BYTES = 160 * 1024 * 1024  # for the columns that are read at once
OPEN_COLUMNS = 16  # at once, where that is not enough for all
WINDOW_BYTES = 64 * 1024 * 1024  # of rows that are put together from columns read one after another


def batches(opened: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """Yield all rows in their order."""
    rows = rows_in(BATCH_BYTES, opened, BATCH_ROWS)
    if not is_wide(opened):
        yield from opened.iter_batches(batch_size=rows, use_threads=False)
        return
    window = rows_in(WINDOW_BYTES, opened, opened.metadata.num_rows)
    for group in range(opened.metadata.num_row_groups):
        for number in range(-(-opened.metadata.row_group(group).num_rows // window)):
            whole = rows_of(opened, group, window, number)
            for start in range(0, whole.num_rows, rows):
                # A copy: a slice would keep the whole window while the next one is read.
                yield whole.take(pa.array(np.arange(start, min(start + rows, whole.num_rows))))
            del whole


def is_wide(opened: pq.ParquetFile) -> bool:
    """Tell whether a file has so many columns that a page of each would not fit in memory."""
    metadata = opened.metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    pages = max(
        (
            sum(min(LARGEST_PAGE, group.column(index).total_uncompressed_size) for index in range(metadata.num_columns))
            for group in groups
        ),
        default=0,
    )
    return pages * COPIES > OPEN_BYTES


def rows_of(opened: pq.ParquetFile, group: int, window: int, number: int) -> pa.RecordBatch:
    """Return some rows of a row group, a few columns after another: each time from the group's start, for Arrow keeps
    what it has read of a column only as long as that column is open.
    """
    names, columns = opened.schema_arrow.names, []
    for start in range(0, len(names), OPEN_COLUMNS):
        some = names[start : start + OPEN_COLUMNS]
        found = opened.iter_batches(window, row_groups=[group], columns=some, use_threads=False)
        batch = next(islice(found, number, None), None)
        if batch is None or (columns and len(batch) != len(columns[0])):
            raise pa.ArrowInvalid("Its columns have different numbers of rows.")
        columns += [batch.column(name) for name in some]
    return pa.RecordBatch.from_arrays(columns, schema=opened.schema_arrow)


def rows_in(size: int, opened: pq.ParquetFile, most: int) -> int:
    """Return how many rows take so many bytes unpacked, and at most so many."""
    metadata = opened.metadata
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=0)
    return max(1, min(most, int(size / max(row, 8 * metadata.num_columns))))
