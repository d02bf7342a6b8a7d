"""The whole journey on this machine: upload, train, registry, deploy, predict.  `make demo`"""

import csv
import io
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer

from local.api_client import ApiClient, ApiError
from local.home import Home

USERNAME = "demo"
MODEL_ID = "breast-cancer"
JOB = {
    "name": "Breast cancer",
    "model_id": MODEL_ID,
    "parameters": {"target": "diagnosis", "algorithm": "random_forest", "epochs": 40, "trees_per_epoch": 25},
}
ROWS = 5


def main() -> int:
    """Run the journey against the platform that `make up` started; return the exit status."""
    home = Home.from_environment().path
    outputs = json.loads((home / "outputs.json").read_text())
    api = ApiClient(outputs["ApiUrl"])
    rows = breast_cancer()

    say(1, "Account", log_in(api, home / "demo.json"))
    dataset = api.upload(to_csv(rows), "breast-cancer.csv", name="Breast cancer Wisconsin")
    dataset = api.wait(f"/datasets/{dataset['id']}", "ready", "failed")
    refuse_failure("The data set", dataset)
    say(2, "Data set", f"{dataset['id']}: {dataset['rows']} rows, {dataset['columns']} columns")

    job = api.call("POST", "/jobs", JOB | {"dataset_id": dataset["id"]})
    say(3, "Training", f"{job['id']} on {job['instance_type']}")
    job = watch(api, job["id"])
    refuse_failure("The job", job)

    version = job["model"]["version"]
    model = api.call("GET", f"/ai-models/{USERNAME}/{MODEL_ID}?version={version}")
    say(4, "Model", f"{MODEL_ID} {version}: test accuracy {model['test_accuracy']:.4f}, {model['model_size_mb']} MB")

    take_down_earlier_endpoints(api)
    endpoint = api.call(
        "POST", "/endpoints", {"name": "Breast cancer", "model": {"model_id": MODEL_ID, "version": version}}
    )
    endpoint = api.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
    refuse_failure("The endpoint", endpoint)
    say(5, "Endpoint", endpoint["url"])

    predict(api, endpoint, secrets.SystemRandom().sample(rows, ROWS))
    print_next_steps(outputs, endpoint)
    return 0


def breast_cancer() -> list[dict[str, Any]]:
    """Return scikit-learn's breast-cancer data: one dictionary per row, the diagnosis last."""
    data: Any = load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    return [
        dict(zip(names, map(float, values), strict=True)) | {"diagnosis": str(data.target_names[label])}
        for values, label in zip(data.data, data.target, strict=True)
    ]


def to_csv(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def log_in(api: ApiClient, saved: Path) -> str:
    """Log in as the user of last time, or make one; the password stays in the platform's folder."""
    if saved.exists():
        api.login(USERNAME, json.loads(saved.read_text())["password"])
        return f"logged in as {USERNAME}"
    password = secrets.token_urlsafe(12) + "aA1!"
    api.register(USERNAME, f"{USERNAME}@example.com", password)
    saved.touch(mode=0o600)
    saved.write_text(json.dumps({"username": USERNAME, "password": password}))
    api.login(USERNAME, password)
    return f"registered {USERNAME} (password in {saved})"


def watch(api: ApiClient, id: str) -> dict[str, Any]:
    """Show a job's stage, percent, epoch and metrics until it ends; return it."""
    job: dict[str, Any] = {}
    shown = ""
    for job in api.follow(f"/jobs/{id}", lambda found: found["status"] in {"completed", "failed", "cancelled"}):
        progress = job["progress"]
        bar = "#" * int(progress["percent"] / 5)
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in list(progress["metrics"].items())[:3])
        epoch = f"epoch {progress['epoch']:g}" if progress["epoch"] is not None else ""
        what = job["stage"] or job["status"]
        line = f"    {what:12} [{bar:20}] {progress['percent']:5.1f}%  {epoch:10} {metrics}"
        if line != shown:  # a running job's heartbeat changes with every look
            print(line, flush=True)
        shown = line
    return job


def take_down_earlier_endpoints(api: ApiClient) -> None:
    """Delete the endpoints of earlier demos: one is enough to look at."""
    for earlier in api.call("GET", "/endpoints?limit=100")["items"]:
        if earlier["status"] in {"in_service", "failed"} and earlier["model"]["model_id"] == MODEL_ID:
            api.call("DELETE", f"/endpoints/{earlier['id']}")


def predict(api: ApiClient, endpoint: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Send rows to the endpoint, and print what it predicts beside what is true."""
    instances = [{name: value for name, value in row.items() if name != "diagnosis"} for row in rows]
    answer = api.call("POST", f"/endpoints/{endpoint['id']}/invoke", {"instances": instances})
    print(f"    {'predicted':10} {'probability':>11}  true")
    for row, prediction in zip(rows, answer["predictions"], strict=True):
        probability = max(prediction["probabilities"].values())
        print(f"    {prediction['label']:10} {probability:>11.3f}  {row['diagnosis']}")


def print_next_steps(outputs: dict[str, str], endpoint: dict[str, Any]) -> None:
    """Print where everything is and how to go on."""
    print(f"\nThe platform keeps running.\n  API       {outputs['ApiUrl']}\n  Docs      {outputs['ApiUrl']}/docs")
    print(f"  Endpoint  {endpoint['url']}")
    print("Go on: `make status`, `make env` (AWS CLI and boto3), `make down` (state is kept), `make reset`.")


def refuse_failure(what: str, record: dict[str, Any]) -> None:
    """Raise SystemExit with the platform's reason when a record has failed."""
    if record["status"] in {"failed", "cancelled"}:
        raise SystemExit(f"{what} {record['id']} {record['status']}: {record.get('reason')}")


def say(step: int, noun: str, words: str) -> None:
    """Print one step of the journey."""
    print(f"{step}  {noun:9} {words}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ApiError as error:
        sys.exit(f"The platform answered: {error}")
