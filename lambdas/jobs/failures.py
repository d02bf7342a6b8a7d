"""What kind of failure a job's last words describe, and what to try. Pure: words in, class and fix out.

A container of ours begins its failure file with the class in brackets, `[data] Column 'x' ...`
(training_containers/common/contract.py); SageMaker, Batch and other containers are known by their words.
"""

import re

from lambdas.jobs.watched import Failure, FailureClass

MARK = re.compile(r"^\[(memory|data|capacity|quota|permission|code|timeout)\]\s*")
EXIT_CODE = re.compile(r",?\s*exit code: (\d+)\s*$")
OF_CONTAINER = re.compile(r"^AlgorithmError:\s*")
OF_BATCH = re.compile(r"^Received status from SageMaker:\s*")  # with and without a space after the colon
KILLED = 137  # 128 + SIGKILL: what the kernel does to the process that takes the last memory

FIXES: dict[FailureClass, str] = {
    "memory": "Run it on a larger instance type, or with a smaller batch_size and more gradient_accumulation.",
    "data": "Correct the data set as the reason says, make a version of it, and run the job on that.",
    "capacity": "AWS has no such instance free: run it again later, or on another instance type.",
    "quota": "Have an admin ask AWS for a higher quota (`make doctor` prints how), or take another instance type.",
    "permission": "An admin must allow the stage's execution role what the reason names: bucket, key or image.",
    "code": "Correct the parameter or the script that the reason names; the job's log has the whole traceback.",
    "timeout": "Raise max_runtime_seconds, or train less: fewer epochs, less data; or take a faster instance.",
    "unknown": "Read the end of the job's log, then run it again; if it fails alike, show the reason to an admin.",
}
# What an admin must act on, or AWS. The rest is a user's own: their data, their code, the size and time they asked for.
FOR_OPERATORS: set[FailureClass] = {"capacity", "quota", "permission", "unknown"}
# What the platform and AWS say: the first that matches decides.
SAID_BY_AWS: list[tuple[FailureClass, str]] = [
    (
        "capacity",
        r"^CapacityError|CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY|Unable to provision requested|MaxWaitTimeExc",
    ),
    ("quota", r"ResourceLimitExceeded|account-level service limit|SERVICE_ENVIRONMENT_MAX_RESOURCE"),
    (
        "permission",
        r"Access ?Denied|not authorized|Forbidden|permission|Could not use the job's role|Cannot pull image",
    ),
    ("timeout", r"MaxRuntimeExceeded|exceeded timeout"),
    ("memory", r"instance type with more memory|[Oo]ut ?[Oo]f ?[Mm]emory"),
    ("data", r"Data download failed|No S3 objects found|NoSuchKey|NoSuchBucket|specified (key|bucket) does not exist"),
    ("code", r"/opt/ml/|(metrics|manifest)\.json"),
]
# What a container says that does not say its class.
SAID_BY_CONTAINER: list[tuple[FailureClass, str, str | None]] = [
    (
        "memory",
        r"No space left on device",
        "The instance's disk is full: keep fewer checkpoints, write less to /opt/ml, or use a smaller data set.",
    ),
    (
        "memory",
        r"out of memory|OutOfMemory|MemoryError|Cannot allocate memory|bad_alloc|can't allocate memory|_ALLOC_FAILED",
        None,
    ),
    (
        "code",
        r"name resolution|Network is unreachable|Max retries exceeded|Failed to establish a new connection",
        "Containers have no network: put what the script needs into the data set, the base model or the script's ZIP.",
    ),
    (
        "code",
        r"ModuleNotFoundError|No module named",
        "The image lacks this package: put its wheel into the folder wheels/ of the script's ZIP.",
    ),
]


def classify(reason: str | None, secondary: str | None = None, batch_reason: str | None = None) -> Failure:
    """Return the class of a failure.

    `reason` is SageMaker's FailureReason, Batch's statusReason or the platform's own sentence, as it came;
    `secondary` the training job's secondary status; `batch_reason` Batch's statusReason beside it.
    """
    words = OF_BATCH.sub("", reason or "")
    said = OF_CONTAINER.sub("", words)
    if mark := MARK.match(said):
        return _failure(mark[1])
    if OF_CONTAINER.match(words):
        return _of_container(said)
    everything = "\n".join(part for part in (words, secondary, batch_reason) if part)
    for name, pattern in SAID_BY_AWS:
        if re.search(pattern, everything, re.MULTILINE):
            return _failure(name)
    return _failure("unknown")


def without_marks(reason: str) -> str:
    """Return a container's own words: without SageMaker's prefix, the class and the exit code."""
    return MARK.sub("", EXIT_CODE.sub("", OF_CONTAINER.sub("", reason))).strip()


def _of_container(said: str) -> Failure:
    for name, pattern, fix in SAID_BY_CONTAINER:
        if re.search(pattern, said):
            return _failure(name, fix)
    code = EXIT_CODE.search(said)
    return _failure("memory" if code and int(code[1]) == KILLED else "code")


def _failure(name: FailureClass | str, fix: str | None = None) -> Failure:
    found = Failure.model_validate({"class": name, "fix": fix or ""})
    return found if fix else found.model_copy(update={"fix": FIXES[found.class_]})
