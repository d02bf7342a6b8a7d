"""What data sets go through."""

import requests

from tests.journeys.checks.world import World, expect, until

CONTENT = b"x,y\n1,2\n3,4\n"
FILES = [{"filename": "rows.csv", "size": len(CONTENT)}]
NEW = {"name": "Check", "type": "tabular", "format": "csv", "files": FILES}


def dataset_lifecycle(world: World) -> None:
    """A data set is uploaded, processed, read, changed and deleted; another's upload is given up."""
    api = world.owner
    id = api.upload(CONTENT, "rows.csv", name="Check")["id"]
    path = f"/datasets/{id}"
    until(lambda: api.call("GET", path)["status"] == "ready", "the data set is ready")
    expect(id in [found["id"] for found in api.call("GET", "/datasets")["items"]], "it is listed")
    api.call("PATCH", path, {"description": "Changed."})
    expect(world.admin.call("GET", path)["description"] == "Changed.", "an admin reads the change")
    expect(api.call("GET", f"{path}/preview")["rows"] != [], "it has a preview")
    url = api.call("GET", f"{path}/download")["files"][0]["url"]
    expect(requests.get(url, timeout=10).content == CONTENT, "its file is downloaded")
    api.call("DELETE", path)
    expect(world.keys(world.datasets_bucket, f"{world.user_id}/{id}/") == [], "its files are gone")
    unfinished = api.call("POST", "/datasets", NEW)
    api.upload_parts(CONTENT, unfinished["uploads"]["rows.csv"])
    api.call("DELETE", f"/datasets/{unfinished['id']}")


def dataset_processing(world: World) -> None:
    """The step of the workflow profiles a file and ends the wait."""
    id = world.copy("datasets", world.dataset["id"], status="processing", profile=None, sha256=None, holds=None)
    world.invoke("datasets_process", world.event(id))
    expect(world.record("datasets", id)["status"] == "ready", "the data set is ready")
    expect(len(world.keys(world.datasets_bucket, f"{world.user_id}/{id}/")) == 2, "manifest and preview are stored")
    expect(not world.records.waits_for(id), "nobody waits for it any more")


def dataset_recovery(world: World) -> None:
    """The schedule finishes a deletion, gives up an old upload, and starts processing that never began."""
    bucket, deleted = world.datasets_bucket, world.id_of_deleted("datasets")
    world.s3.put_object(Bucket=bucket, Key=f"{world.user_id}/{deleted}/rows.csv", Body=CONTENT)
    key = f"{world.user_id}/{deleted}/old.csv"
    upload = world.s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    changes = {"key": key, "upload_id": upload, "created_at": "2020-01-01T00:00:00.000Z", "holds": None}
    old = world.copy("datasets", world.dataset["id"], status="uploading", **changes)
    unstarted = world.copy("datasets", world.dataset["id"], status="processing", holds=None)
    world.invoke("datasets_recover", {"source": "aws.events"})
    expect(world.keys(bucket, f"{world.user_id}/{deleted}/") == [], "the files are gone")
    expect(not world.records.waits_for(deleted), "the deletion is over")
    expect(world.record("datasets", old)["status"] == "failed", "the old upload has failed")
    uploads = world.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    expect(upload not in [found["UploadId"] for found in uploads], "the old upload is given up")
    expect(world.execution("Process", unstarted) is not None, "processing has started")
