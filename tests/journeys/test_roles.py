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
from stacks.functions import FUNCTIONS
from stacks.grants import GRANTS
from tests.hub import Hub
from tests.journeys.checks import (
    accounts,
    components,
    datasets,
    endpoints,
    jobs,
    metrics,
    models,
    people,
    registrations,
    resting,
    schedules,
    scripts,
    texts,
    training,
    workflows,
)
from tests.journeys.checks.endpoint_updates import (
    endpoint_teardown_watching,
    endpoint_update,
    endpoint_update_watching,
)
from tests.journeys.checks.world import World
from tests.journeys.conftest import PARAMETERS, PASSWORD, configured, train, upload
from tests.journeys.records import Records, copy_unservable_model
from tests.journeys.roles import (
    Check,
    Permission,
    is_red,
    permissions,
    role_with,
    still_green_without,
    without_action,
    without_resource,
)
from tests.platform import Platform

CHECKS: dict[str, Check] = {
    "accounts": accounts.account_lifecycle,
    "accounts_pre_sign_up": accounts.account_lifecycle,
    "datasets": datasets.dataset_lifecycle,
    "datasets_process": datasets.dataset_processing,
    "datasets_import": datasets.dataset_import,
    "datasets_profile": datasets.dataset_profiling,
    "datasets_submit": datasets.dataset_submission,
    "datasets_recover": datasets.dataset_recovery,
    "models": models.model_lifecycle,
    "models_process": models.model_scanning,
    "models_import": models.model_import,
    "models_archive": models.model_archiving,
    "models_recover": models.model_recovery,
    "models_rebuild": models.registry_rebuilding,
    "jobs": jobs.job_requests,
    "jobs_submit": jobs.job_submission,
    "jobs_register": jobs.job_registration,
    "jobs_control": jobs.job_control,
    "jobs_schedule": schedules.schedule_running,
    "jobs_watch": jobs.job_watching,
    "jobs_progress": jobs.progress_history,
    "endpoints": endpoints.endpoint_requests,
    "register": registrations.registration_requests,
    "endpoints_register": registrations.registration_moving,
    "endpoints_deploy": endpoints.endpoint_deployment,
    "endpoints_follow": endpoints.endpoint_following,
    "endpoints_watch": endpoints.endpoint_watching,
    "metrics": metrics.metrics_page,
    "metrics_count": metrics.request_counting,
    "stats": resting.statistics,
    "text": texts.analysis,
}
# Permissions that the function's own check does not reach.
OTHER_CHECKS: dict[str, Check] = {
    "datasets: s3:ListBucket on import-buckets": datasets.dataset_by_reference,
    "datasets: s3:GetObject on import-buckets/*": datasets.dataset_by_reference,
    "datasets_import: s3:AbortMultipartUpload on datasets-bucket/files": datasets.import_given_up,
    "datasets_recover: dynamodb:GetItem on waits-table": datasets.job_recovery,
    "datasets_recover: sagemaker:DescribeProcessingJob on processing-jobs": datasets.job_recovery,
    "datasets_recover: states:SendTaskSuccess on *": datasets.job_recovery,
    "datasets_recover: states:SendTaskFailure on *": datasets.job_recovery,
    "datasets_recover: states:SendTaskHeartbeat on *": datasets.job_recovery,
    "jobs: s3:GetObject on import-buckets/*": jobs.job_on_a_reference,
    "jobs: dynamodb:GetItem on endpoints-table": schedules.evaluation_of_an_endpoint,
    "jobs: s3:PutObject on jobs-bucket/scripts": jobs.script_upload,
    "jobs: s3:GetObject on jobs-bucket/scripts": jobs.script_upload,
    "jobs: s3:ListMultipartUploadParts on jobs-bucket/scripts": jobs.script_upload,
    "endpoints: states:StartExecution on sleep-workflow": resting.endpoint_watched_by_people,
    "endpoints: cloudwatch:GetMetricData on *": resting.endpoint_watched_by_people,
    "endpoints: logs:FilterLogEvents on endpoint-logs": resting.endpoint_watched_by_people,
    "endpoints_watch: dynamodb:Query on endpoints-table": resting.endpoint_sweeping,
    "endpoints_watch: dynamodb:BatchGetItem on endpoints-table": resting.endpoint_sweeping,
    "endpoints_watch: states:StartExecution on sleep-workflow": resting.endpoint_sweeping,
    "endpoints_watch: states:DescribeExecution on sleep-workflow/executions": resting.endpoint_sweeping,
    "endpoints_watch: cloudwatch:GetMetricData on *": resting.endpoint_sweeping,
    "models_archive: s3:AbortMultipartUpload on models-bucket/*": models.archive_given_up,
    "endpoints: states:StartExecution on update-workflow": endpoints.endpoint_change,
    "endpoints: s3:GetObject on models-bucket/documents": scripts.deployed,
    "endpoints: sts:AssumeRole on token-role": scripts.token_taken,
    "endpoints_register: s3:GetObject on models-bucket/documents": scripts.registered,
    "endpoints_follow: s3:GetObject on models-bucket/documents": scripts.followed_by("endpoints_follow"),
    "endpoints_watch: s3:GetObject on models-bucket/documents": scripts.followed_by(
        "endpoints_watch", {"detail-type": "Scheduled Event"}
    ),
    "endpoints: sagemaker:InvokeEndpointAsync on endpoints": endpoints.endpoint_inferences,
    "endpoints: s3:PutObject on jobs-bucket/inferences": endpoints.endpoint_inferences,
    "endpoints: s3:GetObject on jobs-bucket/inferences": endpoints.endpoint_inferences,
    "endpoints: s3:GetObject on jobs-bucket/answers": endpoints.endpoint_inferences,
    "endpoints: s3:ListBucket on jobs-bucket": endpoints.endpoint_inferences,
    "endpoints_deploy: sagemaker:UpdateEndpoint on endpoints": endpoint_update,
    "endpoints_deploy: sagemaker:UpdateEndpoint on endpoint-configs": endpoint_update,
    "endpoints_deploy: cloudwatch:PutMetricAlarm on endpoint-alarms": endpoint_update,
    "endpoints_deploy: cloudwatch:DeleteAlarms on endpoint-alarms": endpoint_update,
    "endpoints_deploy: application-autoscaling:RegisterScalableTarget on scalable-targets": endpoint_update,
    "endpoints_deploy: application-autoscaling:PutScalingPolicy on scalable-targets": endpoint_update,
    "endpoints_deploy: application-autoscaling:DeregisterScalableTarget on scalable-targets": endpoint_update,
    "endpoints_deploy: s3:ListBucket on jobs-bucket": endpoint_update,
    "endpoints_deploy: s3:DeleteObject on jobs-bucket/inferences": endpoint_update,
    "endpoints_deploy: s3:DeleteObject on jobs-bucket/answers": endpoint_update,
    **components.CHECKS,
    "endpoints_watch: states:StartExecution on update-workflow": endpoint_update_watching,
    "endpoints_watch: states:DescribeExecution on update-workflow/executions": endpoint_update_watching,
    "endpoints_watch: cloudwatch:DeleteAlarms on endpoint-alarms": endpoint_update_watching,
    "endpoints_watch: application-autoscaling:RegisterScalableTarget on scalable-targets": endpoint_update_watching,
    "endpoints_watch: application-autoscaling:PutScalingPolicy on scalable-targets": endpoint_update_watching,
    "endpoints_watch: application-autoscaling:DeregisterScalableTarget on scalable-targets": endpoint_teardown_watching,
    "endpoints_watch: logs:PutRetentionPolicy on endpoint-logs": endpoint_teardown_watching,
    "endpoints_watch: s3:ListBucket on jobs-bucket": endpoint_teardown_watching,
    "endpoints_watch: s3:DeleteObject on jobs-bucket/inferences": endpoint_teardown_watching,
    "endpoints_watch: s3:DeleteObject on jobs-bucket/answers": endpoint_teardown_watching,
    "jobs_submit: batch:UpdateServiceJob on service-jobs": jobs.stop_during_submission,
    "jobs_submit: batch:TerminateServiceJob on service-jobs": jobs.stop_during_submission,
    "jobs_register: s3:AbortMultipartUpload on models-bucket/*": jobs.copy_given_up,
    "jobs_register: batch:TerminateServiceJob on service-jobs": jobs.broken_workflow,
    "jobs_register: events:PutEvents on event-bus": schedules.alarm_telling,
    "jobs_schedule: s3:GetObject on import-buckets/*": schedules.schedule_on_a_reference,
    "jobs_watch: lambda:InvokeFunction on jobs_schedule": schedules.schedule_waking,
    "endpoints_watch: states:StartExecution on register-workflow": registrations.registration_watching,
    "endpoints_watch: states:DescribeExecution on register-workflow/executions": registrations.registration_watching,
}
WORKFLOWS: dict[str, tuple[Check, list[str]]] = {
    "Process": (
        workflows.process_workflow,
        ["datasets_process", "datasets_import", "datasets_profile", "datasets_submit"],
    ),
    "Scan": (workflows.scan_workflow, ["models_process", "models_scan"]),
    "Import": (workflows.import_workflow, ["models_import"]),
    "Archive": (workflows.archive_workflow, ["models_archive"]),
    "Train": (workflows.train_workflow, ["jobs_submit", "jobs_register", "endpoints_follow"]),
    "Deploy": (workflows.deploy_workflow, ["endpoints_deploy"]),
    "Update": (workflows.update_workflow, ["endpoints_deploy"]),
    "Teardown": (workflows.teardown_workflow, ["endpoints_deploy"]),
    "Sleep": (workflows.sleep_workflow, ["endpoints_deploy"]),
    "Register": (registrations.register_workflow, ["endpoints_register"]),
}
# Permission -> why it is needed although nothing goes red here.
NO_404 = "Without it S3 answers 403, not 404, for an object that is not there; the emulator answers 404 to everybody."
SCALED_FOR_US = "Whoever scales an endpoint needs it, AWS says; the local Application Auto Scaling does nothing itself."
NO_LIST = "A custom script's job may have left no list of its files."
JUSTIFIED: dict[str, str] = {
    "datasets_import: s3:ListBucket on import-buckets": f"{NO_404} A source that is gone is the user's to know.",
    "datasets_import: s3:ListBucket on datasets-bucket": f"{NO_404} A file is copied where there is none.",
    "jobs: s3:ListBucket on datasets-bucket": f"{NO_404} A data set that is being deleted has no manifest any more.",
    "jobs: s3:ListBucket on jobs-bucket": f"{NO_404} A job whose model is not registered yet has no stored capsule.",
    "jobs: s3:ListBucket on import-buckets": f"{NO_404} A source that is gone is the user's to know.",
    "jobs_schedule: s3:ListBucket on datasets-bucket": f"{NO_404} A data set that is deleted has no manifest any more.",
    "jobs_schedule: s3:ListBucket on import-buckets": f"{NO_404} A source that is gone is the owner's to know.",
    "jobs_register: s3:ListBucket on jobs-bucket": f"{NO_404} A job without a report would not say so.",
    "jobs_register: s3:ListBucket on models-bucket": f"{NO_404} A new version has no manifest yet.",
    "models_process: s3:ListBucket on models-bucket": f"{NO_404} A version that came in a form has no upload plan.",
    "register: s3:ListBucket on models-bucket": f"{NO_404} A new version has no upload plan yet.",
    "models_archive: s3:ListBucket on models-bucket": f"{NO_404} An archive is made where there is none.",
    "models_import: s3:ListBucket on models-bucket": f"{NO_404} A file is brought where there is none.",
    "endpoints: s3:ListBucket on models-bucket": f"{NO_404} {NO_LIST}",
    "endpoints_register: s3:ListBucket on models-bucket": f"{NO_404} {NO_LIST}",
    "endpoints_follow: s3:ListBucket on models-bucket": f"{NO_404} {NO_LIST}",
    "endpoints_watch: s3:ListBucket on models-bucket": f"{NO_404} {NO_LIST}",
} | {
    f"{function}: {action} on {resource}": SCALED_FOR_US
    for function in ("endpoints_deploy", "endpoints_watch")
    for action, resource in (
        ("sagemaker:UpdateEndpointWeightsAndCapacities", "endpoints"),
        ("sagemaker:UpdateInferenceComponentRuntimeConfig", "inference-components"),
        ("cloudwatch:PutMetricAlarm", "scaling-alarms"),
        ("cloudwatch:DescribeAlarms", "scaling-alarms"),
        ("cloudwatch:DeleteAlarms", "scaling-alarms"),
        ("iam:CreateServiceLinkedRole", "scaling-role"),
    )
}
JUSTIFIED |= {
    f"{function}: sqs:SendMessage on undelivered-queue": "Lambda sends in its name; the local one asks no role."
    for function, spec in FUNCTIONS.items()
    if spec.asynchronous
}
# The containers' roles': action -> why it is needed although nothing goes red here.
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
# The operators': likewise.
JUSTIFIED_FOR_OPERATORS: dict[str, str] = {}


@pytest.fixture(scope="module")
def world(
    platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]], hub: Hub
) -> Iterator[World]:
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
    found = World(platform, owner, new_user("admin"), dataset, shared, job, endpoint, unservable, features, hub)
    # Checks that went red leave jobs behind, which wait for ever.
    with found.standing_still(), configured(platform, "jobs", MAX_JOBS_PER_USER="1000"):
        yield found
    owner.call("DELETE", f"/endpoints/{endpoint['id']}")


def check_of(permission: Permission) -> Check:
    return OTHER_CHECKS.get(str(permission), CHECKS[permission.function])


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


def check_of_training(resource: str) -> Check:
    """Return the check that the execution role needs a resource for."""
    if datasets.IMPORTS in resource:
        return training.training_on_a_reference
    if ":alarm:" in resource or "InferenceComponents/" in resource:
        return endpoint_update if ":alarm:" in resource else components.component_logs
    return training.serving if "Endpoints/" in resource or "modelsbucket" in resource else training.training


def check_of_processing(resource: str) -> Check:
    """Return the check that the processing role needs a resource for."""
    return training.processing_of_a_reference if datasets.IMPORTS in resource else training.processing


def test_every_grant_has_a_check() -> None:
    assert set(CHECKS) == {function for function, grants in GRANTS.items() if grants}
    assert set(OTHER_CHECKS) | set(JUSTIFIED) <= {str(permission) for permission in permissions()}


@pytest.mark.slow
class TestEvery:
    @pytest.fixture(autouse=True)
    def fresh_tokens(self, world: World) -> None:
        """Tokens last half an hour, which is less than all of this takes."""
        for client in (world.owner, world.admin):
            client.login(str(client.username), PASSWORD)

    @pytest.mark.parametrize("function", CHECKS)
    def test_nothing_in_the_grants_is_too_much(self, function: str, world: World) -> None:
        every = [permission for permission in permissions() if permission.function == function]
        for check in dict.fromkeys(check_of(permission) for permission in every):
            check(world)  # green with everything
        survivors = [str(permission) for permission in every if not goes_red_without(permission, world)]
        print(f"\n{function}: red: {len(every) - len(survivors)}/{len(every)}")
        for name in survivors:
            print(f"  not red: {name}: {JUSTIFIED.get(name, 'not justified')}")
        assert set(survivors) == {name for name in JUSTIFIED if name.startswith(f"{function}: ")}

    def test_nothing_in_the_workflows_roles_is_too_much(self, world: World) -> None:
        every = [(workflow, function) for workflow, (_, called) in WORKFLOWS.items() for function in called]
        assert [name for name in every if not workflow_goes_red(*name, world)] == []
        print(f"\nred: {len(every)}/{len(every)}")

    @pytest.mark.parametrize("check_of_resource", [check_of_training, check_of_processing])
    def test_nothing_in_the_containers_roles_is_too_much(
        self, check_of_resource: Callable[[str], Check], world: World
    ) -> None:
        processing = world.functions["datasets_submit"]["Environment"]["Variables"]["PROCESSING_ROLE_ARN"]
        role = processing if check_of_resource is check_of_processing else world.platform.outputs["ExecutionRoleArn"]
        survivors = still_green_without(world, role, check_of_resource)
        for action, resource in survivors:
            print(f"  not red: {action} on {resource}: {JUSTIFIED_FOR_CONTAINERS.get(action, 'not justified')}")
        assert {action for action, _ in survivors} == set(JUSTIFIED_FOR_CONTAINERS)

    def test_nothing_in_the_operators_role_is_too_much(self, world: World) -> None:
        role = world.platform.outputs["OperatorRoleArn"]
        survivors = still_green_without(world, role, lambda _: people.operation)
        assert {action for action, _ in survivors} == set(JUSTIFIED_FOR_OPERATORS)

    def test_nothing_in_the_token_role_is_too_much(self, world: World) -> None:
        role = world.functions["endpoints"]["Environment"]["Variables"]["TOKEN_ROLE_ARN"]
        assert still_green_without(world, role, components.check_of_token) == []
