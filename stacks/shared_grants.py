"""Permissions that several functions in stacks/grants.py are given alike."""

ANYWHERE = "*"  # only for actions that IAM knows no resource type for

# What comes and goes with an endpoint: its alarms, the end of its log, an asynchronous one's inputs and answers, its
# scaling. Who scales a variant, or a component's copies, must be allowed what Application Auto Scaling does for them
# (SageMaker, "Auto scaling prerequisites").
BESIDE_ENDPOINTS = [
    ("cloudwatch: PutMetricAlarm DeleteAlarms", "endpoint-alarms"),
    ("logs: PutRetentionPolicy", "endpoint-logs"),
    ("s3: ListBucket", "jobs-bucket"),
    ("s3: DeleteObject", "jobs-bucket/inferences"),
    ("s3: DeleteObject", "jobs-bucket/answers"),
    ("application-autoscaling: RegisterScalableTarget PutScalingPolicy DeregisterScalableTarget", "scalable-targets"),
    ("sagemaker: UpdateEndpointWeightsAndCapacities", "endpoints"),
    ("sagemaker: UpdateInferenceComponentRuntimeConfig", "inference-components"),
    ("cloudwatch: PutMetricAlarm DescribeAlarms DeleteAlarms", "scaling-alarms"),
    ("iam: CreateServiceLinkedRole", "scaling-role"),
]

# What a job is made of: a dataset, held; what it finds in it, and whether its source has changed; the model that it
# goes on from or evaluates, held too; what an endpoint serves.
INPUTS_OF_JOBS = [
    ("dynamodb: GetItem UpdateItem", "datasets-table"),
    ("dynamodb: Query", "datasets-table/by_id"),
    ("s3: ListBucket", "datasets-bucket"),
    ("s3: GetObject", "datasets-bucket/*"),
    ("s3: ListBucket", "import-buckets"),
    ("s3: GetObject", "import-buckets/*"),
    ("dynamodb: GetItem UpdateItem", "models-table"),
    ("dynamodb: GetItem", "endpoints-table"),
]

# A job that asked for an endpoint, or a registration, gets one: its version held, what it is made of read.
ENDPOINTS_OF_JOBS = [
    ("dynamodb: GetItem UpdateItem", "jobs-table"),
    ("dynamodb: GetItem UpdateItem", "models-table"),
    ("s3: ListBucket", "models-bucket"),
    ("s3: GetObject", "models-bucket/documents"),
    ("states: StartExecution", "deploy-workflow"),
]

# Lambda keeps with it what an asynchronous function fails at.
UNDELIVERED = ("sqs: SendMessage", "undelivered-queue")
