"""`make logs REQUEST=<request_id> STAGE=dev` or `make logs JOB=job-... STAGE=dev`: what happened, in its own words."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from operations.account import Account, account_of
from operations.deployed import outputs_of, physical_ids, platform_stack, resources_of
from operations.settings import settings_of
from operations.terminal import OperationError, run

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"  # SageMaker's, one for the whole account


def main(arguments: Sequence[str]) -> int:
    """Print the lines of a request or a job: the arguments are the stage, `request` or `job`, and its id."""
    stage, kind, identifier = arguments
    settings_of(stage)
    account = account_of(stage)
    outputs_of(account, stage)  # says so when the stage is not deployed here
    found = job_lines(account, identifier) if kind == "job" else request_lines(account, stage, identifier)
    printed = 0
    for line in found:
        print(line)
        printed += 1
    if not printed:
        raise OperationError(f"The logs of stage {stage} in {account.region} have no {kind} {identifier}.")
    return 0


def request_lines(account: Account, stage: str, request_id: str) -> Iterator[str]:
    """Yield every log line of the stage's functions and API that names the request."""
    client = account.client("logs")
    for group in physical_ids(resources_of(account, platform_stack(stage)), "AWS::Logs::LogGroup"):
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern=f'"{request_id}"')
        for page in pages:
            yield from (f"{group}  {shown(event)}" for event in page["events"])


def job_lines(account: Account, job_id: str) -> Iterator[str]:
    """Yield, for each training job that was made for the job, how it stands and what its container printed."""
    client = account.client("sagemaker")
    for page in client.get_paginator("list_training_jobs").paginate(NameContains=job_id, SortOrder="Ascending"):
        for row in page["TrainingJobSummaries"]:
            described = client.describe_training_job(TrainingJobName=row["TrainingJobName"])
            reason = described.get("FailureReason", "")
            yield f"{row['TrainingJobName']}  {described['TrainingJobStatus']}  {reason}".rstrip()
            yield from container_lines(account, row["TrainingJobName"])


def container_lines(account: Account, training_job: str) -> Iterator[str]:
    """Yield what the containers of a training job printed, oldest first; nothing when none has started."""
    client = account.client("logs")
    for stream in streams_of(client, training_job):
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=TRAINING_LOGS, logStreamNames=[stream])
        for page in pages:
            yield from map(shown, page["events"])


def streams_of(client: Any, training_job: str) -> list[str]:
    """Return the names of a training job's log streams, one per container; none before the account's first job."""
    pages = client.get_paginator("describe_log_streams")
    try:
        found = list(pages.paginate(logGroupName=TRAINING_LOGS, logStreamNamePrefix=f"{training_job}/"))
    except client.exceptions.ResourceNotFoundException:
        return []
    return [stream["logStreamName"] for page in found for stream in page["logStreams"]]


def shown(event: dict[str, Any]) -> str:
    """Return a log event as its time in UTC and its message."""
    time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    return f"{time.replace('+00:00', 'Z')}  {event['message'].rstrip()}"


if __name__ == "__main__":
    run(main)
