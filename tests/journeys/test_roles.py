"""Every permission is needed: without it, what needs it goes red.  `pytest tests/journeys/test_roles.py`

The journeys show that the roles are enough; this shows that nothing in them is too much. Each action of each grant is
taken from the running function's role; its check must fail, and succeed again once the action is back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.api_client import ApiClient
from stacks.grants import GRANTS
from tests.journeys.checks import accounts, datasets, endpoints, jobs, models, training, workflows
from tests.journeys.checks.world import World
from tests.journeys.conftest import PARAMETERS, train, upload
from tests.journeys.records import Records, copy_unservable_model
from tests.journeys.roles import (
    Permission,
    pairs,
    permissions,
    role_with,
    statements_of,
    without_action,
    without_resource,
)
from tests.platform import Platform

Check = Callable[[World], None]
CHECKS: dict[str, Check] = {
    "accounts": accounts.account_lifecycle,
    "accounts_pre_sign_up": accounts.account_lifecycle,
    "datasets": datasets.dataset_lifecycle,
    "datasets_process": datasets.dataset_processing,
    "datasets_recover": datasets.dataset_recovery,
    "models": models.model_lifecycle,
    "models_process": models.model_scanning,
    "models_archive": models.model_archiving,
    "models_recover": models.model_recovery,
    "models_rebuild": models.registry_rebuilding,
    "jobs": jobs.job_requests,
    "jobs_submit": jobs.job_submission,
    "jobs_register": jobs.job_registration,
    "jobs_control": jobs.job_control,
    "jobs_watch": jobs.job_watching,
    "jobs_progress": jobs.progress_history,
    "endpoints": endpoints.endpoint_requests,
    "endpoints_deploy": endpoints.endpoint_deployment,
    "endpoints_watch": endpoints.endpoint_watching,
}
# Permissions that the function's own check does not reach.
OTHER_CHECKS: dict[str, Check] = {
    "models_archive: s3:AbortMultipartUpload on models-bucket/*": models.archive_given_up,
    "jobs_submit: batch:TerminateServiceJob on service-jobs": jobs.stop_during_submission,
    "jobs_register: s3:AbortMultipartUpload on models-bucket/*": jobs.copy_given_up,
    "jobs_register: batch:TerminateServiceJob on service-jobs": jobs.broken_workflow,
}
WORKFLOWS: dict[str, tuple[Check, list[str]]] = {
    "Process": (workflows.process_workflow, ["datasets_process"]),
    "Scan": (workflows.scan_workflow, ["models_process", "models_scan"]),
    "Archive": (workflows.archive_workflow, ["models_archive"]),
    "Train": (workflows.train_workflow, ["jobs_submit", "jobs_register"]),
    "Deploy": (workflows.deploy_workflow, ["endpoints_deploy"]),
    "Teardown": (workflows.teardown_workflow, ["endpoints_deploy"]),
}
# Permission -> why it is needed although nothing goes red here.
NO_404 = "Without it S3 answers 403, not 404, for an object that is not there; the emulator answers 404 to everybody."
JUSTIFIED: dict[str, str] = {
    "jobs_register: s3:ListBucket on jobs-bucket": f"{NO_404} A job without a report would not say so.",
    "jobs_register: s3:ListBucket on models-bucket": f"{NO_404} A new version has no manifest yet.",
    "models_process: s3:ListBucket on models-bucket": f"{NO_404} A version that came in a form has no upload plan.",
    "models_archive: s3:ListBucket on models-bucket": f"{NO_404} An archive is made where there is none.",
}
# The execution role's: action -> why it is needed although nothing goes red here.
NO_REGISTRY = "SageMaker pulls the image with it; this machine has no image registry."
JUSTIFIED_FOR_CONTAINERS = {
    "ecr:BatchCheckLayerAvailability": NO_REGISTRY,
    "ecr:BatchGetImage": NO_REGISTRY,
    "ecr:GetDownloadUrlForLayer": NO_REGISTRY,
    "ecr:GetAuthorizationToken": NO_REGISTRY,
    "cloudwatch:PutMetricData": "SageMaker puts figures with it; the emulator, which knows no namespaces, refuses it.",
    "logs:DescribeLogStreams": "In AWS's own list for training and endpoints; the local SageMaker does not look first.",
    "s3:AbortMultipartUpload": "SageMaker gives up the upload of a large artefact with it when a part fails.",
}


@pytest.fixture(scope="module")
def world(platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]]) -> Iterator[World]:
    """A data set, a completed job, an endpoint in service; from then on nothing happens by itself."""
    owner, other = new_user(), new_user()
    shared = upload(other, rows)
    other.call("PATCH", f"/datasets/{shared['id']}", {"visibility": "shared"})
    dataset = upload(owner, rows)
    job = train(owner, dataset)
    assert job["status"] == "completed", job
    endpoint = owner.call("POST", "/endpoints", {"name": "Roles", "model": {"model_id": job["model"]["model_id"]}})
    endpoint = owner.wait(f"/endpoints/{endpoint['id']}", "in_service", "failed")
    assert endpoint["status"] == "in_service", endpoint
    assert owner.username
    unservable = copy_unservable_model(
        Records(platform), owner.username, job["model"]["id"], f"gone-{secrets.token_hex(4)}"
    )
    features = {name: value for name, value in rows[0].items() if name != PARAMETERS["target"]}
    found = World(platform, owner, new_user("admin"), dataset, shared, job, endpoint, unservable, features)
    with found.standing_still():
        yield found
    owner.call("DELETE", f"/endpoints/{endpoint['id']}")


def check_of(permission: Permission) -> Check:
    return OTHER_CHECKS.get(str(permission), CHECKS[permission.function])


def is_red(check: Check, world: World) -> bool:
    """Return whether a check fails, in whatever way."""
    try:
        check(world)
    except Exception as error:
        print(f"    {type(error).__name__}: {str(error)[:150]}", flush=True)
        return True
    return False


def goes_red_without(permission: Permission, world: World) -> bool:
    """Take a permission away, look whether its check fails, and that it succeeds when it is back."""
    print(f"{permission}: {check_of(permission).__name__}", flush=True)
    check, role = check_of(permission), world.functions[permission.function]["Role"]
    with role_with(world, role, lambda statements: without_action(statements, permission)):
        red = is_red(check, world)
    if red:
        check(world)
    return red


class TestSome:
    """One function that answers requests, one task, one workflow: the whole sweep takes long."""

    @pytest.mark.parametrize(
        "name", ["jobs: states:StartExecution on train-workflow", "datasets_process: s3:GetObject on datasets-bucket/*"]
    )
    def test_a_function_fails_without_a_permission(self, name: str, world: World) -> None:
        (permission,) = [found for found in permissions() if str(found) == name]
        assert goes_red_without(permission, world)

    def test_a_workflow_fails_without_its_function(self, world: World) -> None:
        assert workflow_goes_red("Train", "jobs_submit", world)


def workflow_goes_red(workflow: str, function: str, world: World) -> bool:
    """Take from a workflow the right to call a function, look whether it fails, and that it succeeds then."""
    check, _ = WORKFLOWS[workflow]
    role = world.stepfunctions.describe_state_machine(stateMachineArn=world.machines[workflow])["roleArn"]
    arn = world.functions[function]["FunctionArn"]
    with role_with(world, role, lambda given: without_resource(given, "lambda:InvokeFunction", arn)):
        red = is_red(check, world)
    check(world)
    return red


def container_goes_red(world: World, role: str, action: str, resource: str) -> bool:
    """Take an action on a resource from the containers' role, and look whether training or serving fails."""
    check = training.serving if "Endpoints/" in resource or "modelsbucket" in resource else training.training
    print(f"{action} on {resource}: {check.__name__}", flush=True)
    with role_with(world, role, lambda given: without_resource(given, action, resource)):
        red = is_red(check, world)
    if red:
        check(world)
    return red


def test_every_grant_has_a_check() -> None:
    assert set(CHECKS) == {function for function, grants in GRANTS.items() if grants}
    assert set(OTHER_CHECKS) | set(JUSTIFIED) <= {str(permission) for permission in permissions()}


@pytest.mark.slow
class TestEvery:
    def test_nothing_in_the_grants_is_too_much(self, world: World) -> None:
        every = permissions()
        for check in dict.fromkeys(check_of(permission) for permission in every):
            check(world)  # green with everything
        survivors = [str(permission) for permission in every if not goes_red_without(permission, world)]
        print(f"\nred: {len(every) - len(survivors)}/{len(every)}")
        for name in survivors:
            print(f"  not red: {name}: {JUSTIFIED.get(name, 'not justified')}")
        assert set(survivors) == set(JUSTIFIED)

    def test_nothing_in_the_workflows_roles_is_too_much(self, world: World) -> None:
        every = [(workflow, function) for workflow, (_, called) in WORKFLOWS.items() for function in called]
        assert [name for name in every if not workflow_goes_red(*name, world)] == []
        print(f"\nred: {len(every)}/{len(every)}")

    def test_nothing_in_the_containers_role_is_too_much(self, world: World) -> None:
        role = world.platform.outputs["ExecutionRoleArn"]
        for check in (training.training, training.serving):
            check(world)
        every = pairs(statements_of(world, role))
        survivors = [pair for pair in every if not container_goes_red(world, role, *pair)]
        print(f"\nred: {len(every) - len(survivors)}/{len(every)}")
        for action, resource in survivors:
            print(f"  not red: {action} on {resource}: {JUSTIFIED_FOR_CONTAINERS.get(action, 'not justified')}")
        assert {action for action, _ in survivors} == set(JUSTIFIED_FOR_CONTAINERS)
