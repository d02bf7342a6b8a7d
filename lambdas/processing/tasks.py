"""The Lambda that reads a dataset in S3 and leaves its report beside it. It changes no record."""

import json
import tempfile
from pathlib import Path
from typing import Any

from lambdas.common import aws
from lambdas.processing import request as requests
from lambdas.processing.process import process
from lambdas.processing.s3_file import S3Object
from lambdas.processing.source import InputFile

REPORT = "report.json"
CONTENT_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv; charset=utf-8",
    ".webp": "image/webp",
}


def profile(event: dict[str, str], context: Any) -> dict[str, Any]:
    """Read a dataset version: {"bucket", "request": key of request.json} -> {"report": key, "refused": bool}.

    Doing it again does no harm: the same files give the same objects. Raises OSError, and what boto3 raises, for what
    a later try may cure, WrongRequest for what none does.
    """
    s3, bucket = aws.client("s3"), event["bucket"]
    request = requests.parse(s3.get_object(Bucket=bucket, Key=event["request"])["Body"].read())
    request.check_places(bucket, event["request"])
    objects = [S3Object(s3, file.bucket, file.key, file.size) for file in request.files]
    files = [InputFile(file.name, file.size, object.open) for file, object in zip(request.files, objects, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        report = process(files, request.type, request.format, Path(folder))
        failure = next((object.failure for object in objects if object.failure), None)
        if failure:  # a reader of a format may have taken it for damage in the file
            raise failure
        upload(s3, Path(folder), bucket, request.output)
    print(json.dumps({"message": "profiled", "rows": report.rows, "refused": report.refused}))
    return {"report": request.output + REPORT, "refused": report.refused is not None}


def upload(s3: Any, folder: Path, bucket: str, prefix: str) -> None:
    """Copy a folder below a key prefix; the report is the last, so that there is none without what it speaks of."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in sorted(paths, key=lambda path: path == folder / REPORT):
        content = {"ContentType": CONTENT_TYPES.get(path.suffix, "application/octet-stream")}
        s3.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix(), ExtraArgs=content)
