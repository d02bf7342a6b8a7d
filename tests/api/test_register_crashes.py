"""`register` that dies at any of its calls to AWS: nothing at SageMaker without a record, no record without its own.

Run: python -m pytest tests/api/test_register_crashes.py -s
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lambdas.common.errors import NotFound
from lambdas.endpoints import resources, tasks
from lambdas.endpoints.service import ENDPOINTS
from lambdas.jobs.registrations import REGISTRATIONS, Registration
from lambdas.models.records import MODELS
from tests.api import registry
from tests.api.client import Answer, ApiClient
from tests.api.crashes import EVERY_CALL, Killed, deaths, dying_at
from tests.api.registrations import (
    SERVE,
    abort,
    go_on,
    has_execution,
    look,
    made,
    of,
    reconcile,
    reference,
    registered,
    registering,
    servable,
    under_way,
)
from tests.api.sagemaker import our_sagemaker
from tests.local.services import until

pytestmark = pytest.mark.thorough
Api = Callable[..., ApiClient]
FILES = {"model.json": registry.CONFIG}
NEW = {"model_id": "rose", "name": "Rose", "files": [{"filename": "model.json", "size": len(registry.CONFIG)}]}


@pytest.fixture(scope="module", autouse=True)
def own_sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE):
        yield


@dataclass
class Try:
    """One user's registration of one model."""

    user: ApiClient
    body: dict[str, Any]

    def ask(self) -> Answer:
        return registering(self.user).post("/register", self.body)

    @property
    def job(self) -> Registration:
        (found,) = of(self.user.username)
        return found


def begin(api: Api) -> Try:
    user = api("jobs")
    return Try(user, {"name": "Iris", "model": reference(servable(api, user))})


def assert_true(user: ApiClient) -> None:
    """What SageMaker has of a user's endpoints is what the records say; all that began has ended."""
    owner = user.username
    endpoints = {found.id: found.status for found in ENDPOINTS.list(owner, "ep-", 100, None).items}
    assert set(endpoints.values()) <= {"in_service", "failed"}
    serving = {id for id, status in endpoints.items() if status == "in_service"}
    for kind, names in made().items():
        assert names & endpoints.keys() == serving, kind
    for job in of(owner):
        assert job.ended, job
        assert job.endpoint_id in (serving if job.status == "completed" else {None, *endpoints})
    assert endpoints.keys() == {job.endpoint_id for job in of(owner) if job.endpoint_id}, "no endpoint without its job"
    held = {holder for version in MODELS.list(owner, "mdl-", 100, None).items for holder in version.holds}
    assert held == serving
    assert under_way(owner) == []


def recover(user: ApiClient, workflows: str) -> None:
    """Let the schedule look, the workflows go on or die, and the schedule look until nothing is under way."""
    reconcile(user.username)
    if workflows == "die":
        for id in under_way(user.username):
            abort(id)

    def rest() -> bool:
        if workflows == "go on":
            go_on(user.username)
        reconcile(user.username)
        for id in under_way(user.username) if workflows == "die" else []:
            abort(id)  # one that the schedule has started
        return not under_way(user.username)

    until(rest, bool, 120)


def nothing_else_is_made() -> Callable[[], None]:
    """Return a check that SageMaker has no more names without a record than there are now."""
    before = made()

    def check() -> None:
        for kind, names in made().items():
            assert names - before[kind] <= {id for id in names if has_record(id)}, kind

    return check


def has_record(id: str) -> bool:
    try:
        return ENDPOINTS.find(id).status in {"creating", "in_service"}
    except NotFound:
        return False


def test_a_request_that_dies_is_whole_or_nothing_and_can_be_sent_again(api: Api) -> None:
    now = [begin(api)]
    for _ in deaths(lambda: now[0].ask()):
        one = now[0]
        reconcile(one.user.username)
        assert all(map(has_execution, under_way(one.user.username)))
        before = [job.id for job in of(one.user.username)]
        answer = one.ask()
        assert answer.status == 201 and [job.id for job in of(one.user.username)] == (before or [answer.body["id"]])
        recover(one.user, "go on")
        assert one.job.status == "completed"
        assert_true(one.user)
        now[0] = begin(api)


@pytest.mark.slow
def test_a_request_with_a_new_model_that_dies_goes_on_when_it_is_sent_again(api: Api) -> None:
    def new() -> Try:
        return Try(api("jobs"), {"name": "Rose", "new_model": NEW | {"version": "v1"}, "deploy": False})

    now = [new()]
    for _ in deaths(lambda: now[0].ask()):
        one, owner = now[0], now[0].user.username
        reconcile(owner)
        answer = one.ask()
        assert answer.status == 201, answer.body
        (version,) = MODELS.list(owner, "mdl-", 100, None).items
        assert answer.body["model"]["id"] == version.id == one.job.model.id
        (part,) = answer.body["uploads"]["model.json"]["parts"]
        assert registry.put_part(part, registry.CONFIG).ok
        models = api("models", username=owner)
        assert registry.complete(models, answer.body["model"]).status == 202
        registry.scan_now(registry.get(models, answer.body["model"]))
        recover(one.user, "go on")
        assert one.job.status == "completed"
        assert registry.get(models, answer.body["model"])["status"] == "ready"
        now[0] = new()


STEPS: dict[str, Callable[[Registration], Any]] = {
    "it begins the endpoint": look,
    "model and configuration": lambda job: step(job, "create_model"),
    "the endpoint": lambda job: step(job, "create_endpoint", token="none"),
    "it serves": lambda job: step(job, "in_service"),
    "it is over": look,
}


def step(job: Registration, name: str, **more: str) -> None:
    tasks.deploy({"owner": job.owner, "id": job.endpoint_id, "step": name} | more, None)


def settled(name: str) -> None:
    until(lambda: resources.describe(name), lambda found: not found or found["EndpointStatus"] != "Creating", 120)


def before(api: Api, name: str) -> Try:
    """Return a registration that has come to the step of that name."""
    one = begin(api)
    registered(one.user, **one.body)
    for earlier in list(STEPS)[: list(STEPS).index(name)]:
        STEPS[earlier](one.job)
        if earlier == "the endpoint":
            settled(f"slipway-test-{one.job.endpoint_id}")
    return one


def dies(api: Api, name: str, workflows: str) -> None:
    """Let a step die at each of its calls; afterwards all is true, whether its workflow goes on or dies, too."""
    alone, one, count = nothing_else_is_made(), before(api, name), 0
    now = [one.job]
    for _ in calls(lambda: STEPS[name](now[0])):
        count += 1
        if endpoint := REGISTRATIONS.get(one.user.username, one.job.id).endpoint_id:
            settled(f"slipway-test-{endpoint}")
        recover(one.user, workflows)
        assert_true(one.user)
        alone()
        if workflows == "go on":
            assert one.job.status == "completed", one.job
        one = before(api, name)
        now[0] = one.job
    print(f"{name}, its workflow shall {workflows}: {count}/{count} deaths")


def calls(act: Callable[[], Any]) -> Iterator[int]:
    """Do as `deaths`, for steps of few calls: yield after each death, until the act lives."""
    for call in range(1, EVERY_CALL):
        with dying_at(call) as sent:
            try:
                act()
            except Killed:
                pass
            else:
                print(f"\n{len(sent)} calls: {' '.join(sent)}")
                return
        yield call
    raise AssertionError("it never ends")


def test_a_look_that_dies_loses_nothing(api: Api) -> None:
    dies(api, "it begins the endpoint", "go on")


@pytest.mark.slow
@pytest.mark.parametrize("workflows", ["go on", "die"])
@pytest.mark.parametrize("name", STEPS)
def test_each_step_can_die(api: Api, name: str, workflows: str) -> None:
    dies(api, name, workflows)
