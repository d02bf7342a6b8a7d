"""Evaluations: what is accepted, in whose name, and what is kept of them.

Run: python -m pytest tests/api/test_evaluations.py
"""

import json
import os
from collections.abc import Callable

import pytest

from lambdas.common.ids import new_id
from lambdas.jobs import training_request
from lambdas.models import service as models
from lambdas.models.records import MODELS
from lambdas.models.schemas import Evaluation
from tests.api import registry
from tests.api.client import ApiClient
from tests.api.datasets import processed
from tests.api.evaluations import asked, complete, evaluation, serving, trained_model
from tests.api.jobs import (
    created,
    datasets_handler,
    end,
    has_execution,
    holders,
    new_job,
    record,
    table,
    texts,
    under_way,
)
from tests.api.registrations import reference
from tests.units.test_jobs import DEPLOYMENT

Api = Callable[..., ApiClient]


@pytest.fixture
def ada(api: Api) -> ApiClient:
    return api("jobs")


def test_an_evaluation_is_a_job_that_holds_model_and_data(api: Api, ada: ApiClient) -> None:
    version, dataset = trained_model(api, ada), table(ada)
    job = evaluation(ada, version, dataset)
    assert (job["kind"], job["status"], job["stage"]) == ("evaluation", "pending", "queued")
    assert job["model"] == {"id": version["id"], **reference(version)}
    assert has_execution(job["id"])
    assert holders(ada.username, dataset) == MODELS.get(ada.username, version["id"]).holds == {job["id"]}
    assert ada.get("/jobs/usage").body["jobs"] == 1
    end(job)
    assert holders(ada.username, dataset) == MODELS.get(ada.username, version["id"]).holds == set()
    assert (ada.get("/jobs/usage").body["jobs"], under_way(ada.username)) == (0, [])


def test_its_container_is_told_what_to_do_and_finds_the_model(api: Api, ada: ApiClient) -> None:
    version = trained_model(api, ada)
    job = record(evaluation(ada, version, table(ada)))
    config = training_request.config(job, DEPLOYMENT)
    assert (config["kind"], config["base_model"]) == ("evaluation", f"{ada.username}/iris@v1")
    channels = training_request.channels(job, "s3://home", "jobs")
    assert channels["model"] == f"s3://{os.environ['MODELS_BUCKET']}/{ada.username}/iris/v1/"
    assert training_request.config(record(created(ada, new_job(table(ada)))), DEPLOYMENT)["kind"] == "training"


def test_a_classifier_of_texts_is_told_the_columns_by_their_roles(api: Api, ada: ApiClient) -> None:
    version = trained_model(api, ada)
    stored = MODELS.get(ada.username, version["id"])
    MODELS.update(stored, image="huggingface", training_type="text_classification", parameters={})
    job = record(evaluation(ada, version, labelled(ada)))
    assert (job.image_family, job.parameters) == ("huggingface", {})
    assert job.column_mapping == {"text": "text", "label": "label"}
    refused = asked(ada, version, texts(ada))  # which have no labels
    assert (refused.status, refused.body["errors"][0]["field"]) == (400, "dataset_id")


def labelled(user: ApiClient) -> str:
    """Return the id of a new dataset of texts with labels."""
    rows = b"text,label\n" + b"".join(b"the %d. sentence,%s\n" % (n, b"ab"[n % 2 : n % 2 + 1]) for n in range(20))
    file = {"filename": "texts.csv", "size": len(rows)}
    client = ApiClient(datasets_handler(), user.username)
    return processed(client, rows, type="text", format="csv", files=[file])["id"]


def test_kinds_are_listed_apart(api: Api, ada: ApiClient) -> None:
    dataset = table(ada)
    training = created(ada, new_job(dataset))
    evaluating = evaluation(ada, trained_model(api, ada), dataset)
    for query, job in (("", training), ("?kind=training", training), ("?kind=evaluation", evaluating)):
        assert [item["id"] for item in ada.get(f"/jobs{query}").body["items"]] == [job["id"]]


def test_it_is_not_run_again_as_a_training(api: Api, ada: ApiClient) -> None:
    job = evaluation(ada, trained_model(api, ada), table(ada))
    end(job)
    answer = ada.post(f"/jobs/{job['id']}/rerun")
    assert (answer.status, "POST /jobs/evaluations" in answer.body["detail"]) == (409, True)


class TestRefusals:
    def test_data_without_the_models_column(self, api: Api, ada: ApiClient) -> None:
        for dataset, target in ((table(ada), "taste"), (texts(ada), "kind")):
            version = trained_model(api, ada, target, version="auto")
            answer = asked(ada, version, dataset)
            assert (answer.status, answer.body["errors"][0]["field"]) == (400, "dataset_id"), answer.body
            assert holders(ada.username, dataset) == set()

    def test_a_model_that_no_container_evaluates(self, api: Api, ada: ApiClient) -> None:
        uploaded = registry.ready(api("models", username=ada.username))
        answer = asked(ada, uploaded, table(ada))
        assert (answer.status, "cannot be evaluated" in answer.body["detail"]) == (409, True)

    def test_somebody_elses_model_though_it_is_shared(self, api: Api, ada: ApiClient) -> None:
        version, other = trained_model(api, ada), api("jobs")
        api("models", username=ada.username).put(registry.at(version), {"visibility": "shared"})
        model = reference(version) | {"user_id": ada.username}
        assert asked(other, version, table(other), model=model).status == 404
        viewer = api("jobs", username=ada.username, group="viewer")
        assert asked(viewer, version, table(ada)).status == 403

    def test_fields_that_there_are_not(self, api: Api, ada: ApiClient) -> None:
        answer = asked(ada, trained_model(api, ada), table(ada), parameters={})
        assert (answer.status, answer.body["errors"][0]["field"]) == (400, "parameters")


def test_what_it_finds_is_kept_with_the_model_once_for_each_dataset(api: Api, ada: ApiClient) -> None:
    version, dataset = trained_model(api, ada), table(ada)
    reader = api("models", username=ada.username)
    for _ in range(2):
        job = evaluation(ada, version, dataset)
        for _ in range(2):  # a step that is repeated
            complete(record(job))
        seen = ada.get(f"/jobs/{job['id']}").body
        assert (seen["status"], seen["primary_metric"]["value"]) == ("completed", 0.9)
        assert seen["progress"]["metrics"] == {"test_accuracy": 0.9}
        (found,) = registry.get(reader, version)["evaluations"]
        assert (found["job_id"], found["dataset_id"], found["metrics"]) == (job["id"], dataset, {"test_accuracy": 0.9})
    assert (
        "evaluations"
        in json.loads(
            registry.objects(f"{ada.username}/iris/v1/.slipway/")[f"{ada.username}/iris/v1/.slipway/registry.json"]
        )["record"]
    )


def test_models_are_compared_by_what_they_came_to_on_the_same_data(api: Api, ada: ApiClient) -> None:
    reader = api("models", username=ada.username)
    versions = [trained_model(api, ada, version=name) for name in ("v1", "v2", "v3")]
    for version, accuracy in zip(versions, (0.7, 0.9), strict=False):
        one = Evaluation(
            job_id="job-1", dataset_id="ds-1", dataset_version=2, metrics={"test_accuracy": accuracy}, at=""
        )
        models.record_evaluation(ada.username, version["id"], one)
    names = ",".join(f"{ada.username}/iris@{version['version']}" for version in versions)
    row = reader.get(f"/ai-models/compare?models={names}").body["metrics"]["test_accuracy on ds-1@2"]
    assert [value and value["last"] for value in row["values"]] == [0.7, 0.9, None]
    assert (row["best"], row["direction"]) == (1, "max")


def test_the_newest_evaluations_are_kept(api: Api, ada: ApiClient) -> None:
    version = trained_model(api, ada)
    for number in range(1, 23):
        one = Evaluation(job_id="job-1", dataset_id="ds-1", dataset_version=number, at="")
        models.record_evaluation(ada.username, version["id"], one)
    kept = [one.dataset_version for one in MODELS.get(ada.username, version["id"]).evaluations]
    assert kept == list(range(3, 23))


def test_a_figure_past_its_threshold_is_an_alarm_of_the_job(api: Api, ada: ApiClient) -> None:
    version, dataset = trained_model(api, ada), table(ada)
    for threshold, reason in ((0.9, None), (0.91, "test_accuracy is 0.9, below the threshold of 0.91.")):
        job = asked(ada, version, dataset, threshold=threshold).body
        complete(record(job), 0.9)
        seen = ada.get(f"/jobs/{job['id']}").body
        assert (seen["alarm"], seen["alarm_reason"]) == (reason is not None, reason)
    for wrong in ("much", 1e300):
        answer = asked(ada, version, dataset, threshold=wrong)
        assert (answer.status, answer.body["errors"][0]["field"]) == (400, "threshold")


def test_an_endpoint_stands_for_the_version_that_it_serves(api: Api, ada: ApiClient) -> None:
    version, dataset, endpoint = trained_model(api, ada), table(ada), new_id("ep")
    about = {"name": "Check", "dataset_id": dataset, "endpoint_id": endpoint}
    assert ada.post("/jobs/evaluations", about).status == 404
    serving(ada.username, endpoint, version)
    made = ada.post("/jobs/evaluations", about)
    assert made.status == 201, made.body
    assert (made.body["endpoint_id"], made.body["model"]["id"]) == (endpoint, version["id"])
    assert api("jobs").post("/jobs/evaluations", about | {"dataset_id": table(ada)}).status == 404
    for wrong in (about | {"model": reference(version)}, {"name": "Check", "dataset_id": dataset}):
        answer = ada.post("/jobs/evaluations", wrong)
        assert (answer.status, "either model or endpoint_id" in answer.body["errors"][0]["message"]) == (400, True)


def test_models_of_every_type_that_is_trained_here_are_evaluated(api: Api, ada: ApiClient) -> None:
    version = trained_model(api, ada)
    stored = MODELS.get(ada.username, version["id"])
    MODELS.update(stored, image="huggingface", training_type="llm", parameters={})
    job = evaluation(ada, version, texts(ada))
    assert (job["training_type"], record(job).column_mapping) == ("llm", {"text": "text"})
    MODELS.update(MODELS.get(ada.username, version["id"]), training_type="custom")
    assert asked(ada, version, texts(ada)).status == 409
