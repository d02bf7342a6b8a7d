"""A function of endpoints that dies after any of its calls to AWS: after reconcile nothing is left without a record,
and no record without what it says.

Run: python -m pytest tests/api/test_endpoint_crashes.py -s
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.api.crashes import Killed, deaths, dying_after
from tests.api.sagemaker import our_sagemaker
from tests.api.serving import Serving
from tests.local.services import ServicesProcess
from tests.local.test_sagemaker_endpoints import SERVE

pytestmark = pytest.mark.thorough
SCALING = {"max_instances": 3, "invocations_per_instance": 70}


@pytest.fixture(scope="module")
def sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicesProcess]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE) as services:
        yield services


@pytest.fixture
def serving(sagemaker: ServicesProcess, api: Callable[..., ApiClient]) -> Iterator[Serving]:
    """A user whose endpoints are the only ones; they are taken down after the test."""
    found = Serving(sagemaker, api)
    yield found
    for endpoint in found.records():
        found.ada.delete(f"/endpoints/{endpoint.id}")
        found.tear_down(endpoint.id)


def deployment(serving: Serving) -> Any:
    answer = serving.create(autoscaling=SCALING)
    if answer.status == 201:
        serving.deploy(answer.body["id"])
    return answer


def update(serving: Serving, id: str) -> Any:
    answer = serving.change(id, "v2" if serving.record(id).model.version == "v1" else "v1")
    if answer.status == 200:
        serving.update(id)
    return answer


def teardown(serving: Serving, id: str) -> Any:
    answer = serving.ada.delete(f"/endpoints/{id}")
    if answer.status == 202:
        serving.tear_down(id)
    return answer


def dies_after(operation: str, act: Callable[[], Any]) -> None:
    """Let an act die after an operation."""
    with dying_after(operation) as made, pytest.raises(Killed):
        act()
    assert made[-1] == operation


class TestSome:
    """One death in each of the three."""

    def test_a_deployment_that_dies_once_the_endpoint_is_asked_for(self, serving: Serving) -> None:
        def died() -> None:
            deployment(serving)
            raise Killed  # the workflow is dead as well, before it stores that the endpoint serves

        dies_after("CreateEndpoint", died)
        serving.recover()
        serving.assert_true()
        (found,) = serving.records()
        assert found.status == "in_service"

    def test_an_update_that_dies_once_sagemaker_changes_over(self, serving: Serving) -> None:
        id = serving.in_service()
        dies_after("UpdateEndpoint", lambda: update(serving, id))
        serving.recover()
        serving.assert_true()
        assert serving.record(id).model.version == "v2"

    def test_a_teardown_that_dies_once_the_endpoint_is_gone(self, serving: Serving) -> None:
        id = serving.in_service()
        dies_after("DeleteEndpoint", lambda: teardown(serving, id))
        serving.recover()
        serving.assert_true()
        assert serving.records() == []


@pytest.mark.slow
class TestEvery:
    def test_a_deployment(self, serving: Serving) -> None:
        count = 0
        for _ in deaths(lambda: deployment(serving)):
            serving.recover()
            serving.assert_true()
            count += 1
        print(f"{count}/{count} deaths of deploy")

    def test_an_update(self, serving: Serving) -> None:
        id, count = serving.in_service(autoscaling=SCALING), 0
        for _ in deaths(lambda: update(serving, id)):
            serving.recover()
            serving.assert_true()
            assert serving.record(id).status == "in_service"
            count += 1
        print(f"{count}/{count} deaths of update")

    def test_a_teardown(self, serving: Serving) -> None:
        ids, count = [serving.in_service(autoscaling=SCALING)], 0
        for _ in deaths(lambda: teardown(serving, ids[-1])):
            serving.recover()
            serving.assert_true()
            count += 1
            if not serving.records():
                ids.append(serving.in_service(autoscaling=SCALING))
        print(f"{count}/{count} deaths of teardown")
