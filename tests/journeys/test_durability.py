"""kill -9 of the whole platform: what was acknowledged is still there.  `pytest tests/journeys/test_durability.py`"""

from typing import Any

from local.api_client import ApiClient
from local.demo import to_csv
from tests.journeys.conftest import PASSWORD, train, upload
from tests.journeys.test_failures import processes, start_long_job, wait_with_reconcile
from tests.platform import Platform


def test_kill_9_loses_nothing_acknowledged(own_platform: Platform, rows: list[dict[str, Any]]) -> None:
    """One job running, one endpoint in service, one upload half done, and then the power goes."""
    platform = own_platform
    api = ApiClient(platform.api_url)
    api.register("survivor", "survivor@example.com", PASSWORD)
    api.login("survivor", PASSWORD)
    dataset = upload(api, rows)
    trained = train(api, dataset)
    model = trained["model"]
    body = {"name": "Cancer", "model": {"model_id": model["model_id"], "version": model["version"]}}
    endpoint = api.call("POST", "/endpoints", body)
    endpoint = api.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
    running = start_long_job(api, dataset)
    content = to_csv(rows * 200)
    half, first = half_uploaded(api, content)
    last_write = api.call("PATCH", f"/datasets/{dataset['id']}", {"description": "written just before the end"})

    before = {*processes(running["id"]), *processes(endpoint["id"])}
    assert len(before) >= 2
    platform.kill9()
    platform.up()
    after = {*processes(running["id"]), *processes(endpoint["id"])}
    assert not before & after, "what ran before the end is gone"

    api = ApiClient(platform.api_url)
    api.login("survivor", PASSWORD)
    assert {**api.call("GET", f"/datasets/{dataset['id']}"), "used_by": [running["id"]]} == last_write
    measured_later = {"utilization", "updated_at"}  # the workflow writes them after the end
    same = set(trained) - measured_later
    now = api.call("GET", f"/jobs/{trained['id']}")
    assert {name: now[name] for name in same} == {name: trained[name] for name in same}
    ended = wait_with_reconcile(platform, api, running["id"])
    assert ended["status"] == "failed" and ended["reason"], ended

    instances = {"instances": [{name: value for name, value in rows[0].items() if name != "diagnosis"}]}
    answer = api.call("POST", f"/endpoints/{endpoint['id']}/invoke", instances)
    assert answer["predictions"][0]["label"] in {"benign", "malignant"}

    plan = api.call("GET", f"/datasets/{half['id']}/upload")["uploads"]["half.csv"]
    assert plan["missing"] == len(half["uploads"]["half.csv"]["parts"]) - 1
    assert first["number"] not in {part["number"] for part in plan["parts"]}
    api.upload_parts(content, plan)
    api.call("POST", f"/datasets/{half['id']}/complete")
    resumed = api.wait(f"/datasets/{half['id']}", "ready", "failed")
    assert resumed["size"] == len(content)


def half_uploaded(api: ApiClient, content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Begin an upload of several parts and send the first; return the data set and that part."""
    file = {"filename": "half.csv", "size": len(content)}
    dataset = api.call("POST", "/datasets", {"name": "Half", "type": "tabular", "format": "csv", "files": [file]})
    parts = dataset["uploads"]["half.csv"]["parts"]
    first = parts[0]
    assert len(parts) > 1
    api.upload_parts(content, {"parts": [first]})
    return dataset, first
