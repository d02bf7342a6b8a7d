"""Why a resource in the grants ends in a wildcard, where it does: what cdk-nag is told."""

from stacks.shared_grants import ANYWHERE

OWNED = "All owners' files: which of them a request may touch is decided by the owner in the record's key."
EXECUTIONS = "The executions of one workflow; their names are the ids of records."
OF_THIS_STAGE = "Made at run time; the names of this stage's begin with slipway-<stage>-."
WILDCARDS = {
    ANYWHERE: "SendTask*, ListServiceJobs, GetMetricData and Comprehend's Detect* (DetectEntities without a recognizer "
    "of one's own) have no resource types in IAM: `*` is the only form.",
    "datasets-bucket/*": OWNED,
    "models-bucket/*": OWNED,
    "jobs-bucket/*": OWNED,
    "datasets-bucket/files": "The files of any owner's version and their list, and nothing beside them.",
    "datasets-bucket/processed": "What processing makes of any owner's version, and nothing beside it.",
    "models-bucket/documents": "What any owner's version says of itself in JSON: its files, its kind; no weights.",
    "import-buckets/*": "The stage's owner named these buckets for everybody to read from.",
    "jobs-bucket/config": "The configuration of any owner's job, and no other object of the bucket.",
    "jobs-bucket/capsule": "The capsule of any owner's job, and no other object of the bucket.",
    "jobs-bucket/scripts": "The scripts of any owner's jobs, and no other object of the bucket.",
    "jobs-bucket/logs": "The log of any owner's job as a file, and no other object of the bucket.",
    "process-workflow/executions": EXECUTIONS,
    "scan-workflow/executions": EXECUTIONS,
    "import-workflow/executions": EXECUTIONS,
    "train-workflow/executions": EXECUTIONS,
    "jobs-bucket/inferences": "Inputs of the asynchronous calls of any owner's endpoint, and no job's object.",
    "jobs-bucket/answers": "Answers of any owner's asynchronous endpoint, and no job's object.",
    "deploy-workflow/executions": EXECUTIONS,
    "update-workflow/executions": EXECUTIONS,
    "teardown-workflow/executions": EXECUTIONS,
    "sleep-workflow/executions": EXECUTIONS,
    "register-workflow/executions": EXECUTIONS,
    "processing-jobs": "The names of processing jobs are the ids of versions, which are made at run time.",
    "service-jobs": "Batch makes the id of a service job when it is submitted; there is no narrower form before.",
    "training-jobs": "Batch makes the names of training jobs: AWSBatch, our id, 32 digits.",
    "training-logs": "The streams of one log group; which of them a request may read is decided by the job's record.",
    "endpoint-logs": "SageMaker makes a log group per endpoint; the names of this stage's begin with its own.",
    "endpoints": OF_THIS_STAGE,
    "endpoint-configs": OF_THIS_STAGE,
    "inference-components": OF_THIS_STAGE,
    "endpoint-models": OF_THIS_STAGE,
    "token-role": "One role, known by its path: its ARN would make role and function wait for each other.",
    "endpoint-alarms": OF_THIS_STAGE,
    "scaling-alarms": "Application Auto Scaling makes them for this stage's endpoints, whose names are in theirs.",
    "scalable-targets": "Application Auto Scaling makes a target's id; there is no narrower form before.",
}
