"""What a stage made at run time, outside CloudFormation: find it, stop it, delete it, and wait until it is gone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from operations.account import Account
from operations.deployed import Resource, physical_ids
from operations.waiting import wait_until

UNFINISHED = ("SUBMITTED", "PENDING", "RUNNABLE", "SCHEDULED", "STARTING", "RUNNING")
SETTLED = {"InService", "Failed", "OutOfService", "UpdateRollbackFailed"}  # endpoints that can be deleted now
READS_DATASETS = "dsv-"  # in the name of a processing job: the version that it reads
REASON = "The stage is being destroyed."
# What scales, by the kind of resource that the id of a target begins with.
DIMENSIONS = {
    "endpoint": "sagemaker:variant:DesiredInstanceCount",
    "inference-component": "sagemaker:inference-component:DesiredCopyCount",
}
MOST_ALARMS = 100  # in one call of DeleteAlarms
# SageMaker makes a log group per endpoint or component and never deletes it.
LOG_GROUPS = ("/aws/sagemaker/Endpoints/", "/aws/sagemaker/InferenceComponents/")


@dataclass(frozen=True)
class Made:
    """Names, ids or ARNs of what a stage's users made and that nothing else will delete."""

    executions: list[str] = field(default_factory=list)  # running workflow executions
    jobs: list[str] = field(default_factory=list)  # Batch service jobs that have not ended
    processing_jobs: list[str] = field(default_factory=list)  # that read datasets
    inference_components: list[str] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)
    endpoint_configs: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    scalable_targets: list[str] = field(default_factory=list)  # endpoints' variants and components
    alarms: list[str] = field(default_factory=list)  # of updates that were under way
    log_groups: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return one line per kind that there is something of."""
        counts = [(one.name.replace("_", " "), getattr(self, one.name)) for one in fields(self)]
        return [f"{len(names)} {kind}: {', '.join(names)}" for kind, names in counts if names]


def prefix_of(stage: str) -> str:
    """Return what the names of the stage's SageMaker endpoints, configurations and models begin with."""
    return f"slipway-{stage}-"


def find(account: Account, stage: str, resources: Sequence[Resource]) -> Made:
    """Return what the stage made at run time and still has; `resources` are its platform stack's, or none."""
    return Made(
        executions=running_executions(account, physical_ids(resources, "AWS::StepFunctions::StateMachine")),
        jobs=unfinished_jobs(account, physical_ids(resources, "AWS::Batch::JobQueue")),
        processing_jobs=processing_jobs(account, stage),
        inference_components=named(
            account, "list_inference_components", "InferenceComponents", "InferenceComponentName", stage
        ),
        endpoints=named(account, "list_endpoints", "Endpoints", "EndpointName", stage),
        endpoint_configs=named(account, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", stage),
        models=named(account, "list_models", "Models", "ModelName", stage),
        scalable_targets=scalable_targets(account, stage),
        alarms=alarms(account, stage),
        log_groups=log_groups(account, stage),
    )


def drain(account: Account, stage: str, resources: Sequence[Resource]) -> None:
    """Close the queues, then stop and delete everything `find` finds, each kind gone before the next is touched."""
    disable_queues(account, physical_ids(resources, "AWS::Batch::JobQueue"))
    found = find(account, stage, resources)
    states = account.client("stepfunctions")
    for execution in found.executions:
        states.stop_execution(executionArn=execution, error="StageDestroyed", cause=REASON)
    terminate_jobs(account, physical_ids(resources, "AWS::Batch::JobQueue"))
    stop_processing_jobs(account, stage)
    stop_scaling(account, stage)
    delete_settled(account, stage, "inference_component")
    delete_settled(account, stage, "endpoint")
    delete_alarms(account, stage)
    sagemaker = account.client("sagemaker")
    for name in named(account, "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", stage):
        sagemaker.delete_endpoint_config(EndpointConfigName=name)
    for name in named(account, "list_models", "Models", "ModelName", stage):
        sagemaker.delete_model(ModelName=name)
    for name in log_groups(account, stage):
        account.client("logs").delete_log_group(logGroupName=name)


def running_executions(account: Account, machines: Sequence[str]) -> list[str]:
    """Return the ARNs of the state machines' running executions."""
    pages = account.client("stepfunctions").get_paginator("list_executions")
    return [
        execution["executionArn"]
        for machine in machines
        for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in page["executions"]
    ]


def unfinished_jobs(account: Account, queues: Sequence[str]) -> list[str]:
    """Return the ids of the queues' service jobs that have not ended. Batch lists one status at a time."""
    pages = account.client("batch").get_paginator("list_service_jobs")
    return [
        job["jobId"]
        for queue in queues
        for status in UNFINISHED
        for page in pages.paginate(jobQueue=queue, jobStatus=status)
        for job in page["jobSummaryList"]
    ]


def processing_jobs(account: Account, stage: str) -> list[str]:
    """Return the names of the processing jobs in progress of this stage; a name alone does not say whose it is."""
    client = account.client("sagemaker")
    pages = client.get_paginator("list_processing_jobs").paginate(
        NameContains=READS_DATASETS, StatusEquals="InProgress"
    )
    names = [job["ProcessingJobName"] for page in pages for job in page["ProcessingJobSummaries"]]
    return [
        name
        for name in names
        if client.describe_processing_job(ProcessingJobName=name).get("Environment", {}).get("SLIPWAY_STAGE") == stage
    ]


def named(account: Account, operation: str, rows: str, key: str, stage: str) -> list[str]:
    """Return the names of the stage's things that a SageMaker list operation shows."""
    prefix = prefix_of(stage)
    pages = account.client("sagemaker").get_paginator(operation).paginate(NameContains=prefix)
    return [row[key] for page in pages for row in page[rows] if row[key].startswith(prefix)]


def scalable_targets(account: Account, stage: str) -> list[str]:
    """Return the ids of the stage's endpoint variants and components that Application Auto Scaling scales."""
    pages = account.client("application-autoscaling").get_paginator("describe_scalable_targets")
    rows = [row for page in pages.paginate(ServiceNamespace="sagemaker") for row in page["ScalableTargets"]]
    ours = tuple(f"{kind}/{prefix_of(stage)}" for kind in DIMENSIONS)
    return [row["ResourceId"] for row in rows if row["ResourceId"].startswith(ours)]


def alarms(account: Account, stage: str) -> list[str]:
    """Return the names of the alarms that updates of the stage's endpoints have, and components at zero copies."""
    pages = account.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix_of(stage))
    return [row["AlarmName"] for page in pages for row in page["MetricAlarms"]]


def stop_scaling(account: Account, stage: str) -> None:
    """Take all of the stage that scales from Application Auto Scaling, which deletes its own alarms then."""
    scaling = account.client("application-autoscaling")
    for name in scalable_targets(account, stage):
        dimension = DIMENSIONS[name.partition("/")[0]]
        scaling.deregister_scalable_target(ServiceNamespace="sagemaker", ResourceId=name, ScalableDimension=dimension)


def delete_alarms(account: Account, stage: str) -> None:
    """Delete those alarms."""
    left = alarms(account, stage)
    for first in range(0, len(left), MOST_ALARMS):
        account.client("cloudwatch").delete_alarms(AlarmNames=left[first : first + MOST_ALARMS])


def log_groups(account: Account, stage: str) -> list[str]:
    """Return the names of the log groups that SageMaker made for the stage's endpoints."""
    pages = account.client("logs").get_paginator("describe_log_groups")
    return [
        group["logGroupName"]
        for groups in LOG_GROUPS
        for page in pages.paginate(logGroupNamePrefix=groups + prefix_of(stage))
        for group in page["logGroups"]
    ]


def disable_queues(account: Account, queues: Sequence[str]) -> None:
    """Let no new job in, and wait until Batch says so."""
    client = account.client("batch")
    for queue in queues:
        client.update_job_queue(jobQueue=queue, state="DISABLED")

    def closed() -> bool:
        shown = client.describe_job_queues(jobQueues=list(queues))["jobQueues"] if queues else []
        return all(queue["state"] == "DISABLED" and queue["status"] != "UPDATING" for queue in shown)

    wait_until(closed, "the job queues to close")


def terminate_jobs(account: Account, queues: Sequence[str]) -> None:
    """Terminate every service job of the queues and wait until Batch shows none; SageMaker gives each two minutes."""
    client = account.client("batch")
    asked: set[str] = set()

    def none_left() -> bool:
        left = set(unfinished_jobs(account, queues))
        for job in left - asked:
            client.terminate_service_job(jobId=job, reason=REASON)
        asked.update(left)
        return not left

    wait_until(none_left, "the training jobs to stop")


def stop_processing_jobs(account: Account, stage: str) -> None:
    """Stop the stage's processing jobs and wait until none is in progress."""
    client = account.client("sagemaker")
    asked: set[str] = set()

    def none_left() -> bool:
        left = set(processing_jobs(account, stage))
        for name in left - asked:
            client.stop_processing_job(ProcessingJobName=name)
        asked.update(left)
        return not left

    wait_until(none_left, "the processing jobs to stop")


def delete_settled(account: Account, stage: str, kind: str) -> None:
    """Delete the stage's endpoints, or its `inference_component`s, and wait until none is left.

    SageMaker deletes one only when it is not changing.
    """
    client, prefix = account.client("sagemaker"), prefix_of(stage)
    noun = "".join(word.capitalize() for word in kind.split("_"))
    pages, delete = client.get_paginator(f"list_{kind}s"), getattr(client, f"delete_{kind}")

    def none_left() -> bool:
        rows = [row for page in pages.paginate(NameContains=prefix) for row in page[f"{noun}s"]]
        left = {row[f"{noun}Name"]: row[f"{noun}Status"] for row in rows if row[f"{noun}Name"].startswith(prefix)}
        for name, status in left.items():
            if status in SETTLED:
                delete(**{f"{noun}Name": name})
        return not left

    wait_until(none_left, f"the {kind.replace('_', ' ')}s to be deleted", seconds=3600)
