"""What the registry's tests share: files, uploads by form and by plan, and the scan that a workflow does elsewhere."""

import io
import os
import pickle
import zipfile
from functools import cache
from typing import Any

import boto3
import requests

from lambdas.models import tasks
from lambdas.scanner import tasks as scanner
from tests.api.client import Answer, ApiClient

FIELDS = {"model_id": "iris", "name": "Iris", "framework": "sklearn", "model_type": "classification"}
CONFIG = b'{"layers": 3}'
Files = dict[str, bytes]


@cache
def forest() -> bytes:
    """Return a random forest that knows its irises, as scikit-learn's users store it."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_iris(return_X_y=True)
    return pickle.dumps(RandomForestClassifier(n_estimators=3, random_state=7).fit(x, y))


class Hostile:
    """An object whose pickle would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/slipway-was-here",)


def hostile() -> bytes:
    """Return a pickle that would run a command when it is loaded."""
    return pickle.dumps(Hostile())


def zipped(files: Files) -> bytes:
    """Return a ZIP of files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return content.getvalue()


def unzipped(content: bytes) -> Files:
    """Return the files in a ZIP."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# ------------------------------------------------------------------------------------------------- uploads


def single(client: ApiClient, content: bytes = CONFIG, filename: str = "model.json", **fields: Any) -> Answer:
    """Send the form with one file."""
    return client.post_form("/ai-models/upload/single", {"file": (filename, content)}, form(fields))


def folder(client: ApiClient, files: Files | bytes, **fields: Any) -> Answer:
    """Send the form with a ZIP of files (or with bytes that are none)."""
    content = files if isinstance(files, bytes) else zipped(files)
    return client.post_form("/ai-models/upload/folder", {"zip_file": ("model.zip", content)}, form(fields))


def form(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a form: those that every upload needs, and the test's; None leaves one out."""
    return {name: value for name, value in (FIELDS | fields).items() if value is not None}


def plan(client: ApiClient, files: Files | list[dict[str, Any]], **fields: Any) -> Answer:
    """Ask for an upload plan of these files, or of what a test says of files."""
    told = isinstance(files, list)
    said = files if told else [{"filename": name, "size": len(body)} for name, body in files.items()]
    return client.post("/ai-models/uploads", FIELDS | {"files": said} | fields)


def planned(client: ApiClient, files: Files, **fields: Any) -> dict[str, Any]:
    """Ask for an upload plan and PUT every part of the files; return the version, `uploading`."""
    started = plan(client, files, **fields)
    assert started.status == 201, started.body
    for name, upload in started.body["uploads"].items():
        for part in upload["parts"] if upload else []:
            assert put_part(part, files[name]).ok
    return started.body["model"]


def put_part(part: dict[str, Any], content: bytes) -> requests.Response:
    """PUT one part of a file to its URL."""
    return requests.put(part["url"], data=content[part["offset"] : part["offset"] + part["size"]], timeout=20)


def complete(client: ApiClient, version: dict[str, Any]) -> Answer:
    """Say that all parts are uploaded."""
    return client.post(f"/ai-models/uploads/{version['id']}/complete")


# ---------------------------------------------------------------------------------------------------- scan


def scan_now(version: dict[str, Any]) -> None:
    """Do what the workflow `scan` does with a version, step by step and in its order."""
    event = {"owner": version["user_id"], "id": version["id"]}
    while files := tasks.process(event | {"step": "next"}, None)["files"]:
        reports = [scanner.scan(file, None) for file in files]
        tasks.process(event | {"step": "record", "reports": reports}, None)
    tasks.process(event | {"step": "finish"}, None)


def ready(client: ApiClient, files: Files | None = None, **fields: Any) -> dict[str, Any]:
    """Register a version by a form (of one file, if it is one) and scan it; return it as it then is."""
    files = files or {"model.json": CONFIG}
    name, content = next(iter(files.items()))
    answer = single(client, content, name, **fields) if len(files) == 1 else folder(client, files, **fields)
    assert answer.status == 200, answer.body
    return scanned(client, answer.body)


def uploaded(client: ApiClient, files: Files, **fields: Any) -> dict[str, Any]:
    """Register a version by an upload plan and scan it; return it as it then is."""
    version = planned(client, files, **fields)
    completed = complete(client, version)
    assert completed.status == 202, completed.body
    return scanned(client, version)


def scanned(client: ApiClient, version: dict[str, Any]) -> dict[str, Any]:
    """Scan a version; return it as it then is."""
    scan_now(version)
    return get(client, version)


def get(client: ApiClient, version: dict[str, Any]) -> dict[str, Any]:
    """Return a version as it now is."""
    answer = client.get(at(version))
    assert answer.status == 200, answer.body
    return answer.body


def at(version: dict[str, Any], route: str = "") -> str:
    """Return the path of something of a version, which takes more parameters after an `&`."""
    return f"/ai-models/{version['user_id']}/{version['model_id']}{route}?version={version['version']}"


# ------------------------------------------------------------------------------------- behind the registry


def objects(prefix: str) -> Files:
    """Return the objects of the models bucket under a prefix."""
    s3, bucket = boto3.client("s3"), os.environ["MODELS_BUCKET"]
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


def unfinished(prefix: str) -> list[str]:
    """Return the keys of unfinished multipart uploads under a prefix."""
    found = boto3.client("s3").list_multipart_uploads(Bucket=os.environ["MODELS_BUCKET"])
    return [item["Key"] for item in found.get("Uploads", []) if item["Key"].startswith(prefix)]


def stored(owner: str) -> list[str]:
    """Return the ids of everything in the registry's table of one owner: records and pointers."""
    return sorted(item["id"]["S"] for item in items("MODELS_TABLE") if item["owner"]["S"] == owner)


def postings(owner: str, id: str) -> list[str]:
    """Return the terms of the search index that a version is on the list of."""
    found = (item for item in items("MODELS_INDEX_TABLE") if item["term"]["S"].startswith(f"{owner}#"))
    return sorted(item["term"]["S"] for item in found if id in item.get("ids", {"SS": []})["SS"])


def items(variable: str) -> list[dict[str, Any]]:
    """Return every item of a table."""
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=os.environ[variable])
    return [item for page in pages for item in page["Items"]]
