"""A function that dies after any of its calls to AWS while an inference component is placed, changed or taken away.

Run: python -m pytest tests/api/test_component_crashes.py -s
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.api.component_serving import SERVE, ZERO, ComponentServing
from tests.api.crashes import Killed, deaths
from tests.api.sagemaker import our_sagemaker
from tests.api.test_endpoint_crashes import dies_after
from tests.local.services import ServicesProcess

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def sagemaker(stage: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServicesProcess]:
    with our_sagemaker(tmp_path_factory.mktemp("sagemaker"), SERVE) as services, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLM_IMAGE", services.image("tabular", serve=SERVE))
        yield services


@pytest.fixture(scope="module")
def user(sagemaker: ServicesProcess, api: Callable[..., ApiClient]) -> ComponentServing:
    return ComponentServing(sagemaker, api)


@pytest.fixture
def serving(user: ComponentServing) -> Iterator[ComponentServing]:
    """A user whose endpoints are the only ones; they are taken down after the test."""
    yield user
    for endpoint in user.records():
        user.ada.delete(f"/endpoints/{endpoint.id}")
        user.tear_down(endpoint.id)


def deployment(serving: ComponentServing, **more: Any) -> Any:
    answer = serving.create(copies=ZERO, **more)
    if answer.status == 201:
        serving.deploy(answer.body["id"])
    return answer


def update(serving: ComponentServing, id: str) -> Any:
    answer = serving.change(id, "v2" if serving.record(id).model.version == "v1" else "v1")
    if answer.status == 200:
        serving.update(id)
    return answer


def sleep(serving: ComponentServing, id: str) -> Any:
    answer = serving.ada.post(f"/endpoints/{id}/sleep")
    if answer.status == 202:
        serving.put_to_sleep(id)
    return answer


def teardown(serving: ComponentServing, id: str) -> Any:
    answer = serving.ada.delete(f"/endpoints/{id}")
    if answer.status == 202:
        serving.tear_down(id)
    return answer


class TestSome:
    def test_a_deployment_that_dies_once_the_component_is_asked_for(self, serving: ComponentServing) -> None:
        def died() -> None:
            deployment(serving)
            raise Killed  # the workflow is dead as well, before it stores that the component serves

        dies_after("CreateInferenceComponent", died)
        serving.recover()
        serving.assert_true()
        (found,) = serving.records()
        assert found.status == "in_service"

    def test_a_teardown_that_dies_once_the_component_is_gone(self, serving: ComponentServing) -> None:
        id = serving.in_service(copies=ZERO)
        dies_after("DeleteInferenceComponent", lambda: teardown(serving, id))
        serving.recover()
        serving.assert_true()
        assert serving.records() == []

    def test_one_that_dies_falling_asleep_before_its_host_is_gone(self, serving: ComponentServing) -> None:
        id = serving.in_service()
        dies_after("DeleteInferenceComponent", lambda: sleep(serving, id))
        serving.settled(id)
        serving.recover()
        serving.assert_true()
        assert serving.record(id).stopped_at


@pytest.mark.slow
class TestEvery:
    def test_a_deployment(self, serving: ComponentServing) -> None:
        count = 0
        for _ in deaths(lambda: deployment(serving)):
            serving.recover()
            serving.assert_true()
            count += 1
        print(f"{count}/{count} deaths of deploy")

    def test_a_deployment_beside_another(self, serving: ComponentServing) -> None:
        first, count = serving.in_service("v2"), 0
        for _ in deaths(lambda: deployment(serving, host_endpoint_id=first)):
            serving.recover()
            serving.assert_true()
            count += 1
        print(f"{count}/{count} deaths of deploy beside another")

    def test_an_update(self, serving: ComponentServing) -> None:
        id, count = serving.in_service(copies=ZERO), 0
        for _ in deaths(lambda: update(serving, id)):
            serving.recover()
            serving.assert_true()
            assert serving.record(id).status == "in_service"
            count += 1
        print(f"{count}/{count} deaths of update")

    def test_falling_asleep(self, serving: ComponentServing) -> None:
        id, count = serving.in_service(copies=ZERO), 0
        for _ in deaths(lambda: sleep(serving, id)):
            serving.recover()
            serving.assert_true()
            count += 1
            if serving.record(id).status == "sleeping":
                assert serving.ada.post(f"/endpoints/{id}/wake").status == 202
                serving.deploy(id)
        print(f"{count}/{count} deaths of sleep")

    @pytest.mark.parametrize("beside", [False, True])
    def test_a_teardown(self, beside: bool, serving: ComponentServing) -> None:
        placing = {"host_endpoint_id": serving.in_service("v2")} if beside else {}
        ids, count = [serving.in_service(copies=ZERO, **placing)], 0
        for _ in deaths(lambda: teardown(serving, ids[-1])):
            serving.recover()
            serving.assert_true()
            count += 1
            if ids[-1] not in {found.id for found in serving.records()}:
                ids.append(serving.in_service(copies=ZERO, **placing))
        print(f"{count}/{count} deaths of teardown")
