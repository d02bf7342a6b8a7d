"""What models go through. The tasks are invoked as their workflows, their events and an operator would."""

import hashlib
import io
import itertools
import secrets
import zipfile
from typing import Any

import requests

from lambdas.common.ids import new_id
from lambdas.common.items import to_item
from lambdas.models.manifest import FOLDER, NAME, Manifest
from lambdas.models.postings import SEGMENT
from lambdas.models.schemas import ModelVersion, StoredFile
from lambdas.models.upload import PLAN, PLANNED, PlannedFile
from tests.hub import HubRepository
from tests.journeys.checks.world import CheckFailed, World, expect, until

CONTENT = b'{"layers": 3}'
FILENAME = "config.json"
LARGE = bytes(4 * 1024**2 + 1)  # more than is answered: it goes out by a redirect
LONG_AGO = "2020-01-01T00:00:00.000Z"
SEGMENTS = itertools.count(1000)  # of the search index: a version that begins one is written down


def put_version(world: World, *, token: str | None = None, upload_id: str | None = None, **fields: Any) -> ModelVersion:
    """Store a version of one file under way: its record, its object, its manifest, and the plan of its upload."""
    named = {"model_id": f"check-{secrets.token_hex(4)}", "version": "v1", "name": "Check"}
    kind = {"framework": "other", "model_type": "other", "ordinal": SEGMENT * next(SEGMENTS)}
    version = ModelVersion.model_validate({"owner": world.user_id, "id": new_id("mdl"), **named, **kind, **fields})
    put_object(world, version.prefix + FILENAME, CONTENT)
    file = StoredFile(
        filename=FILENAME,
        file_path=version.prefix + FILENAME,
        file_size=len(CONTENT),
        file_type=".json",
        file_hash=digest(version),
        is_primary=True,
    )
    record = version.model_dump(mode="json", exclude={"holds"})
    put_object(world, version.prefix + NAME, Manifest(record=record, files=[file]).model_dump_json().encode())
    if upload_id:
        planned = [PlannedFile(filename=FILENAME, size=len(CONTENT), upload_id=upload_id)]
        put_object(world, version.prefix + PLAN, PLANNED.dump_json(planned))
    world.records.restore("models", to_item(version))
    world.records.open_wait(version.owner, version.id, token)
    return version


def put_object(world: World, key: str, body: bytes) -> None:
    world.s3.put_object(Bucket=world.models_bucket, Key=key, Body=body, ChecksumAlgorithm="CRC32")


def digest(version: ModelVersion) -> str:
    """Return a hash that no other version's file has."""
    return hashlib.sha256(version.id.encode()).hexdigest()


def begin_segment(world: World) -> None:
    """Let the owner's next version be the first of a segment of the search index."""
    number = SEGMENT * next(SEGMENTS) - 1
    world.records.write("models-index", term=f"{world.user_id}#ordinals", segment=f"{0:09d}", number=number)


def segment_of(version: ModelVersion) -> str:
    """Return the key of a version's segment in the search index."""
    return f"{version.ordinal // SEGMENT:09d}"


def is_listed(world: World, version: ModelVersion) -> bool:
    """Return whether the search index has a version under its model."""
    key = {"term": {"S": f"{version.owner}#model:{version.model_id}"}, "segment": {"S": segment_of(version)}}
    table = world.records.table("models-index")
    found = world.platform.client("dynamodb").get_item(TableName=table, Key=key).get("Item", {})
    return version.id in found.get("ids", {"SS": []})["SS"]


def expect_gone(world: World, version: ModelVersion) -> None:
    expect(world.keys(world.models_bucket, version.prefix) == [], "its files are gone")
    expect(world.record("models", version.id) == {}, "its record is gone")
    expect(not is_listed(world, version), "searches do not find it")
    expect(not world.records.waits_for(version.id), "its deletion is over")


def give_up_uploads(world: World) -> list[dict[str, Any]]:
    """Give up what uploads to the registry were begun, such as by checks that failed; return them."""
    left = world.s3.list_multipart_uploads(Bucket=world.models_bucket).get("Uploads", [])
    for upload in left:
        world.s3.abort_multipart_upload(Bucket=world.models_bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return left


def model_lifecycle(world: World) -> None:
    """A model comes in a form, is scanned, found, changed, given an alias, downloaded and deleted."""
    api, model_id = world.owner, f"check-{secrets.token_hex(4)}"
    begin_segment(world)
    form = {"model_id": model_id, "name": "Check", "tags": "first, second"}
    api.call("POST", "/ai-models/upload/single", data=form, files={"file": (FILENAME, CONTENT)})
    path = f"/ai-models/{world.user_id}/{model_id}"
    until(lambda: api.call("GET", path)["status"] == "ready", "the model is ready")
    found = api.call("GET", f"/ai-models/search/{world.user_id}?framework=other&query={model_id}&tags=first")["items"]
    expect([version["model_id"] for version in found] == [model_id], "it is found")
    api.call("PUT", path, {"tags": ["second", "third"]})
    expect(world.admin.call("GET", path)["tags"] == ["second", "third"], "an admin reads the change")
    expect(api.request("GET", f"{path}/download?filename={FILENAME}").content == CONTENT, "its file is downloaded")
    api.call("PUT", f"{path}/aliases/champion", {"version": "v1"})
    expect(api.call("GET", f"{path}?version=champion")["version"] == "v1", "the alias leads to it")
    api.call("DELETE", f"{path}/aliases/champion")
    api.call("DELETE", path)
    expect(world.keys(world.models_bucket, f"{world.user_id}/{model_id}/") == [], "its files are gone")
    large_model(world)
    imported_model(world)


def imported_model(world: World) -> None:
    """A repository of the Hub becomes a version."""
    api, repo_id = world.owner, put_repository(world)
    started = api.call("POST", "/ai-models/imports", {"repo_id": repo_id})
    path = f"/ai-models/{world.user_id}/{started['model_id']}"
    expect(world.execution("Import", started["id"]) is not None, "its import has started")
    until(lambda: api.call("GET", f"{path}?version=v1")["status"] == "ready", "the model is ready")
    api.call("DELETE", f"{path}?version=v1")


def large_model(world: World) -> None:
    """A model comes by presigned parts and goes out as an archive that S3 makes; another's upload is given up."""
    api, model_id = world.owner, f"check-{secrets.token_hex(4)}"
    request = {"model_id": model_id, "name": "Check", "files": [{"filename": "weights.bin", "size": len(LARGE)}]}
    started = api.call("POST", "/ai-models/uploads", request)
    upload, path = f"/ai-models/uploads/{started['model']['id']}", f"/ai-models/{world.user_id}/{model_id}"
    expect(world.admin.call("GET", upload)["model"]["status"] == "uploading", "an admin reads its upload")
    api.upload_parts(LARGE, started["uploads"]["weights.bin"])
    api.call("POST", f"{upload}/complete")
    until(lambda: api.call("GET", f"{path}?version=v1")["status"] == "ready", "the model is ready")
    answer = api.request("GET", f"{path}/download")
    expect(answer.ok, f"the archive is downloaded: {answer.status_code}")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        expect(archive.read("weights.bin") == LARGE, "the archive has the file")
    unfinished = api.call("POST", "/ai-models/uploads", request)["model"]["version"]
    for version in ("v1", unfinished):
        api.call("DELETE", f"{path}?version={version}")
    left = world.s3.list_multipart_uploads(Bucket=world.models_bucket).get("Uploads", [])
    expect(not any(f"/{model_id}/" in upload["Key"] for upload in left), "the unfinished upload is given up")


def model_scanning(world: World) -> None:
    """The steps of the workflow give out a file's URL, store what the scanner says, and end the wait."""
    version = put_version(world, status="scanning")

    def step(name: str, **more: Any) -> Any:
        return world.invoke("models_process", world.event(version.id) | {"step": name} | more)

    (file,) = step("next")["files"]
    expect(requests.get(file["url"], timeout=10).content == CONTENT, "the file is read by its URL")
    report = {"filename": FILENAME, "verdict": "clean", "sha256": digest(version), "findings": []}
    step("record", reports=[report])
    expect(step("next")["files"] == [], "all files are scanned")
    step("finish")
    expect(world.record("models", version.id)["status"] == "ready", "the version is ready")
    expect(world.record("models", f"sha256#{digest(version)}")["target"] == version.id, "its file is known again")
    expect(is_listed(world, version), "searches find it")
    expect(not world.records.waits_for(version.id), "nobody waits for it any more")


def put_repository(world: World) -> str:
    """Put a repository on the Hub; return its id."""
    repo_id = f"acme/check-{secrets.token_hex(4)}"
    world.hub.repositories[repo_id] = HubRepository({FILENAME: CONTENT, "model.safetensors": b"never loaded"})
    return repo_id


def put_import(world: World) -> tuple[ModelVersion, str]:
    """Store a version whose one file is to come from the Hub; return it, and the id of the file's upload."""
    repo_id, model_id = put_repository(world), f"check-{secrets.token_hex(4)}"
    key = f"{world.user_id}/{model_id}/v1/{FILENAME}"
    upload = world.s3.create_multipart_upload(
        Bucket=world.models_bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    source = {"repo_id": repo_id, "revision": "main", "commit": world.hub.repositories[repo_id].sha}
    version = put_version(world, status="uploading", model_id=model_id, source=source)
    world.s3.delete_object(Bucket=world.models_bucket, Key=key)
    announced = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    planned = [PlannedFile(filename=FILENAME, size=len(CONTENT), upload_id=upload, hash=announced)]
    put_object(world, version.prefix + PLAN, PLANNED.dump_json(planned))
    return version, upload


def model_import(world: World) -> None:
    """The step of the workflow brings a file and has it scanned; another gives up an import that failed."""
    version, _ = put_import(world)
    answer = world.invoke("models_import", world.event(version.id))
    expect(answer["done"], "all files are here")
    expect(world.record("models", version.id)["status"] == "scanning", "the version is scanned")
    expect(world.execution("Scan", version.id) is not None, "its scan has started")
    failed, upload = put_import(world)
    world.invoke("models_import", world.event(failed.id) | {"error": {"Error": "HubRefused", "Cause": "gone"}})
    expect(world.record("models", failed.id)["status"] == "failed", "the import has failed")
    expect(not world.records.waits_for(failed.id), "nobody waits for it any more")
    left = world.s3.list_multipart_uploads(Bucket=world.models_bucket).get("Uploads", [])
    expect(upload not in [found["UploadId"] for found in left], "its upload is given up")


def model_archiving(world: World) -> None:
    """The step of the workflow makes the archive of a version, and marks it as one that expires."""
    version = put_version(world, status="ready")
    world.invoke("models_archive", world.event(version.id))
    (key,) = world.keys(world.models_bucket, f"{version.prefix}{FOLDER}archive-")
    tags = world.s3.get_object_tagging(Bucket=world.models_bucket, Key=key)["TagSet"]
    expect(tags == [{"Key": "slipway", "Value": "archive"}], "it is tagged")


def archive_given_up(world: World) -> None:
    """An archive that fails half way leaves no parts behind."""
    give_up_uploads(world)
    version, why = put_version(world, status="ready"), ""
    try:  # the first call begins the upload, the next ones are its parts
        with world.failing(service="s3", operation="PutObject", error="AccessDenied", status=403, calls=[2, 3, 4]):
            world.invoke("models_archive", world.event(version.id))
    except CheckFailed as error:
        why = str(error)
    expect(give_up_uploads(world) == [], "no upload is left")
    expect("Planted fault" in why, f"it fails because of the fault, not because: {why}")


def model_recovery(world: World) -> None:
    """The schedule finishes a deletion, gives up an old upload and a form's remains, and starts a lost scan."""
    living = put_version(world, status="ready")
    deleted = put_version(world, status="deleting", model_id=living.model_id, version="v2", ordinal=living.ordinal)
    term, segment = f"{world.user_id}#model:{living.model_id}", segment_of(living)
    world.records.write("models-index", term=term, segment=segment, ids={living.id, deleted.id})
    model_id = f"check-{secrets.token_hex(4)}"
    key = f"{world.user_id}/{model_id}/v1/{FILENAME}"
    upload = world.s3.create_multipart_upload(Bucket=world.models_bucket, Key=key)["UploadId"]
    old = put_version(world, status="uploading", created_at=LONG_AGO, model_id=model_id, upload_id=upload)
    form = put_version(world, status="uploading", created_at=LONG_AGO)
    unstarted = put_version(world, status="scanning")
    unbrought, _ = put_import(world)
    for version in (deleted, old, form, unstarted, unbrought):
        event = {"source": "aws.states", "detail": {"name": version.id}}
        world.invoke("models_recover", event)
    for version in (deleted, form):
        expect_gone(world, version)
    expect(world.record("models", old.id)["status"] == "failed", "the old upload has failed")
    left = world.s3.list_multipart_uploads(Bucket=world.models_bucket).get("Uploads", [])
    expect(upload not in [found["UploadId"] for found in left], "the old upload is given up")
    expect(world.execution("Scan", unstarted.id) is not None, "its scan has started")
    expect(world.execution("Import", unbrought.id) is not None, "its import has started")


def registry_rebuilding(world: World) -> None:
    """A version that only S3 knows is in the table, under way and in the search index again."""
    version = put_version(world, status="uploading")
    world.records.delete("models", version.owner, version.id)
    world.records.close_wait(version.id)
    answer = world.invoke("models_rebuild", {"cursor": version.prefix})
    expect(answer["restored"] >= 1, "something is restored")
    expect(world.record("models", version.id)["status"] == "uploading", "the version is in the table")
    expect(world.record("models", f"name#{version.model_id}#v1")["target"] == version.id, "its name leads to it")
    expect(is_listed(world, version), "searches find it")
    expect(world.records.waits_for(version.id), "it is under way")
