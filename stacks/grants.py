"""Who may touch what: every function's permissions, and nothing else. Read this file to review them all.

Function -> (service and actions, resource); `stacks/functions.py` says what each resource's name stands for. What a
stage has none of, such as buckets to import from, is granted to nobody. What several functions need alike is named
here and listed in `stacks/shared_grants.py`.
No API function may create anything at SageMaker or Batch or pass a role: only the tasks do.
"""

from stacks.shared_grants import ANYWHERE, BESIDE_ENDPOINTS, ENDPOINTS_OF_JOBS, INPUTS_OF_JOBS

GRANTS: dict[str, list[tuple[str, str]]] = {
    # ---------------------------------------------------------------------------------------------- accounts
    "accounts": [
        ("dynamodb: GetItem PutItem", "accounts-table"),  # names of deleted accounts
        ("dynamodb: Query", "datasets-table"),  # an account that owns something is not deleted
        ("dynamodb: Query", "models-table"),
        ("dynamodb: Query", "jobs-table"),
        ("dynamodb: Query", "endpoints-table"),
        ("cognito-idp: AdminGetUser AdminUpdateUserAttributes AdminDeleteUser ListUsers", "user-pool"),
        ("cognito-idp: AdminListGroupsForUser AdminAddUserToGroup AdminRemoveUserFromGroup", "user-pool"),
        ("cognito-idp: AdminEnableUser AdminDisableUser AdminUserGlobalSignOut", "user-pool"),
    ],
    "accounts_pre_sign_up": [("dynamodb: GetItem", "accounts-table")],
    # ---------------------------------------------------------------------------------------------- datasets
    "datasets": [
        ("dynamodb: GetItem Query PutItem UpdateItem DeleteItem", "datasets-table"),
        ("dynamodb: Query", "datasets-table/by_id"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        ("s3: ListBucket", "datasets-bucket"),
        ("s3: PutObject GetObject DeleteObject ListMultipartUploadParts AbortMultipartUpload", "datasets-bucket/*"),
        ("s3: ListBucket", "import-buckets"),
        ("s3: GetObject", "import-buckets/*"),
        ("states: StartExecution", "process-workflow"),
    ],
    "datasets_process": [
        ("dynamodb: GetItem UpdateItem", "datasets-table"),
        ("dynamodb: DeleteItem", "waits-table"),
        ("s3: ListBucket", "datasets-bucket"),
        ("s3: GetObject PutObject", "datasets-bucket/*"),
    ],
    "datasets_import": [
        ("dynamodb: GetItem", "datasets-table"),
        ("s3: ListBucket", "import-buckets"),
        ("s3: GetObject", "import-buckets/*"),
        ("s3: ListBucket", "datasets-bucket"),
        ("s3: GetObject PutObject AbortMultipartUpload", "datasets-bucket/files"),
    ],
    # It reads what strangers made, with libraries that may have holes: files only, and no record.
    "datasets_profile": [
        ("s3: GetObject", "datasets-bucket/*"),
        ("s3: GetObject", "import-buckets/*"),
        ("s3: PutObject", "datasets-bucket/processed"),
    ],
    "datasets_submit": [
        ("dynamodb: GetItem", "datasets-table"),
        ("dynamodb: UpdateItem", "waits-table"),
        ("sagemaker: CreateProcessingJob AddTags", "processing-jobs"),
        ("iam: PassRole", "processing-role"),
    ],
    "datasets_recover": [
        ("dynamodb: GetItem Query UpdateItem DeleteItem", "datasets-table"),
        ("dynamodb: Scan GetItem DeleteItem", "waits-table"),
        ("s3: ListBucket", "datasets-bucket"),
        ("s3: GetObject PutObject DeleteObject AbortMultipartUpload", "datasets-bucket/*"),
        ("sagemaker: DescribeProcessingJob", "processing-jobs"),
        ("states: StartExecution", "process-workflow"),
        ("states: DescribeExecution", "process-workflow/executions"),
        ("states: SendTaskSuccess SendTaskFailure SendTaskHeartbeat", ANYWHERE),
    ],
    # ------------------------------------------------------------------------------------------------ models
    "models": [
        ("dynamodb: GetItem BatchGetItem PutItem UpdateItem DeleteItem", "models-table"),
        ("dynamodb: Query", "models-table/by_id"),
        ("dynamodb: BatchGetItem Query PutItem UpdateItem DeleteItem", "models-index-table"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: PutObject GetObject DeleteObject ListMultipartUploadParts AbortMultipartUpload", "models-bucket/*"),
        ("states: StartExecution", "scan-workflow"),
        ("states: StartExecution", "archive-workflow"),
        ("states: StartExecution", "import-workflow"),
    ],
    "models_process": [
        ("dynamodb: GetItem PutItem UpdateItem", "models-table"),
        ("dynamodb: PutItem UpdateItem", "models-index-table"),
        ("dynamodb: DeleteItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject PutObject", "models-bucket/*"),
    ],
    # It reads what strangers made: each file by a URL that is good for that file, and nothing else.
    "models_scan": [],
    "models_import": [
        ("dynamodb: GetItem UpdateItem", "models-table"),
        ("dynamodb: DeleteItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject PutObject ListMultipartUploadParts AbortMultipartUpload", "models-bucket/*"),
        ("states: StartExecution", "scan-workflow"),
    ],
    "models_archive": [
        ("dynamodb: GetItem", "models-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject PutObject PutObjectTagging AbortMultipartUpload", "models-bucket/*"),
    ],
    "models_recover": [
        ("dynamodb: GetItem BatchGetItem UpdateItem DeleteItem", "models-table"),
        ("dynamodb: Query UpdateItem DeleteItem", "models-index-table"),
        ("dynamodb: Scan DeleteItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject PutObject DeleteObject AbortMultipartUpload", "models-bucket/*"),
        ("states: StartExecution", "scan-workflow"),
        ("states: DescribeExecution", "scan-workflow/executions"),
        ("states: StartExecution", "import-workflow"),
        ("states: DescribeExecution", "import-workflow/executions"),
    ],
    "models_rebuild": [
        ("dynamodb: PutItem UpdateItem", "models-table"),
        ("dynamodb: PutItem UpdateItem", "models-index-table"),
        ("dynamodb: PutItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject", "models-bucket/*"),
    ],
    # -------------------------------------------------------------------------------------------------- jobs
    "jobs": [
        ("dynamodb: GetItem Query PutItem UpdateItem DeleteItem", "jobs-table"),
        ("dynamodb: Query", "jobs-table/by_id"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        *INPUTS_OF_JOBS,
        ("s3: ListBucket", "jobs-bucket"),
        ("s3: PutObject GetObject ListMultipartUploadParts", "jobs-bucket/scripts"),
        ("states: StartExecution", "train-workflow"),
        ("lambda: InvokeFunction", "jobs_control"),
        ("s3: GetObject", "jobs-bucket/capsule"),
        ("batch: GetJobQueueSnapshot", "queues"),  # it looks, and changes nothing there
        ("batch: ListServiceJobs", ANYWHERE),
        ("logs: DescribeLogStreams GetLogEvents", "training-logs"),
        ("cloudwatch: GetMetricData", ANYWHERE),
        ("s3: GetObject", "jobs-bucket/logs"),  # by the presigned URL that it answers with
    ],
    "jobs_submit": [
        ("dynamodb: GetItem UpdateItem", "jobs-table"),
        ("dynamodb: GetItem UpdateItem", "waits-table"),
        ("s3: PutObject", "jobs-bucket/config"),
        ("batch: SubmitServiceJob", "queues"),
        ("batch: SubmitServiceJob TagResource UpdateServiceJob TerminateServiceJob", "service-jobs"),
        ("batch: ListServiceJobs", ANYWHERE),
        ("iam: PassRole", "execution-role"),
        ("states: SendTaskSuccess", ANYWHERE),
    ],
    "jobs_register": [
        ("dynamodb: GetItem UpdateItem", "jobs-table"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        ("dynamodb: UpdateItem", "datasets-table"),
        ("dynamodb: GetItem PutItem UpdateItem", "models-table"),
        ("dynamodb: PutItem UpdateItem", "models-index-table"),
        ("s3: ListBucket", "jobs-bucket"),  # without it S3 answers 403 for an object that is not there, not 404
        ("s3: GetObject", "jobs-bucket/*"),
        ("s3: PutObject", "jobs-bucket/capsule"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject PutObject AbortMultipartUpload", "models-bucket/*"),
        ("batch: DescribeServiceJob TerminateServiceJob", "service-jobs"),
        ("sagemaker: DescribeTrainingJob", "training-jobs"),
        ("cloudwatch: GetMetricData", ANYWHERE),
        ("events: PutEvents", "event-bus"),  # an evaluation's alarm begins or ends
    ],
    "jobs_schedule": [  # it makes jobs, as the API does
        ("dynamodb: GetItem PutItem UpdateItem DeleteItem", "jobs-table"),
        ("dynamodb: PutItem", "waits-table"),
        *INPUTS_OF_JOBS,
        ("states: StartExecution", "train-workflow"),
    ],
    "jobs_control": [
        ("dynamodb: GetItem Query UpdateItem DeleteItem", "jobs-table"),
        ("dynamodb: DeleteItem", "waits-table"),
        ("s3: ListBucket", "jobs-bucket"),
        ("s3: DeleteObject", "jobs-bucket/*"),
        ("s3: PutObject", "jobs-bucket/logs"),
        ("logs: DescribeLogStreams GetLogEvents", "training-logs"),
        ("batch: UpdateServiceJob TerminateServiceJob", "service-jobs"),
    ],
    "jobs_watch": [
        ("dynamodb: GetItem Query UpdateItem DeleteItem", "jobs-table"),
        ("dynamodb: Query", "jobs-table/by_id"),
        ("dynamodb: Scan GetItem DeleteItem", "waits-table"),
        ("s3: ListBucket", "jobs-bucket"),
        ("s3: DeleteObject", "jobs-bucket/*"),
        ("batch: DescribeServiceJob UpdateServiceJob", "service-jobs"),
        ("sagemaker: DescribeTrainingJob", "training-jobs"),
        ("states: StartExecution", "train-workflow"),
        ("states: DescribeExecution", "train-workflow/executions"),
        ("states: SendTaskSuccess SendTaskHeartbeat", ANYWHERE),
        ("lambda: InvokeFunction", "jobs_register"),
        ("lambda: InvokeFunction", "jobs_schedule"),
        ("logs: DescribeLogStreams GetLogEvents", "training-logs"),  # has a silent job really said nothing?
    ],
    "jobs_progress": [
        ("dynamodb: GetItem BatchGetItem PutItem UpdateItem", "jobs-table"),
        ("dynamodb: Query", "jobs-table/by_id"),
        ("sagemaker: DescribeTrainingJob", "training-jobs"),
    ],
    # --------------------------------------------------------------------------------------------- endpoints
    "endpoints": [
        ("dynamodb: GetItem Query PutItem UpdateItem DeleteItem", "endpoints-table"),
        ("dynamodb: Query", "endpoints-table/by_id"),
        ("dynamodb: PutItem", "waits-table"),
        ("dynamodb: GetItem UpdateItem", "models-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: GetObject", "models-bucket/documents"),
        ("s3: ListBucket", "jobs-bucket"),
        ("s3: PutObject GetObject", "jobs-bucket/inferences"),
        ("s3: GetObject", "jobs-bucket/answers"),
        ("states: StartExecution", "deploy-workflow"),
        ("states: StartExecution", "update-workflow"),
        ("states: StartExecution", "teardown-workflow"),
        ("states: StartExecution", "sleep-workflow"),
        ("sagemaker: InvokeEndpoint InvokeEndpointAsync", "endpoints"),
        ("sagemaker: InvokeEndpoint", "inference-components"),
        ("sts: AssumeRole", "token-role"),
        ("cloudwatch: GetMetricData", ANYWHERE),
        ("logs: FilterLogEvents", "endpoint-logs"),
    ],
    "endpoints_deploy": [
        ("dynamodb: GetItem UpdateItem DeleteItem", "endpoints-table"),
        ("dynamodb: UpdateItem DeleteItem", "waits-table"),
        ("dynamodb: UpdateItem", "models-table"),
        ("sagemaker: CreateModel DeleteModel AddTags", "endpoint-models"),
        ("sagemaker: CreateEndpointConfig DeleteEndpointConfig AddTags", "endpoint-configs"),
        ("sagemaker: CreateEndpoint UpdateEndpoint", "endpoint-configs"),
        ("sagemaker: CreateEndpoint UpdateEndpoint DescribeEndpoint DeleteEndpoint AddTags", "endpoints"),
        ("sagemaker: CreateInferenceComponent", "endpoints"),
        ("sagemaker: CreateInferenceComponent DescribeInferenceComponent AddTags", "inference-components"),
        ("sagemaker: UpdateInferenceComponent DeleteInferenceComponent", "inference-components"),
        *BESIDE_ENDPOINTS,
        ("iam: PassRole", "execution-role"),
    ],
    "register": [
        ("dynamodb: GetItem PutItem UpdateItem DeleteItem", "jobs-table"),
        ("dynamodb: Query", "jobs-table/by_id"),  # an admin names a job by its id
        ("dynamodb: GetItem", "endpoints-table"),  # is what the same request made before still there?
        ("dynamodb: GetItem PutItem UpdateItem", "models-table"),
        ("dynamodb: PutItem UpdateItem", "models-index-table"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        ("s3: ListBucket", "models-bucket"),
        ("s3: PutObject GetObject ListMultipartUploadParts", "models-bucket/*"),
        ("states: StartExecution", "register-workflow"),
    ],
    "endpoints_register": [
        ("dynamodb: GetItem PutItem", "endpoints-table"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        *ENDPOINTS_OF_JOBS,
    ],
    "endpoints_follow": [
        ("dynamodb: PutItem", "endpoints-table"),
        ("dynamodb: PutItem DeleteItem", "waits-table"),
        *ENDPOINTS_OF_JOBS,
    ],
    "endpoints_watch": [
        ("dynamodb: GetItem Query PutItem UpdateItem DeleteItem", "endpoints-table"),
        ("dynamodb: Query", "endpoints-table/by_id"),
        ("dynamodb: Scan GetItem PutItem DeleteItem", "waits-table"),
        *ENDPOINTS_OF_JOBS,
        ("sagemaker: DeleteModel", "endpoint-models"),
        ("sagemaker: DeleteEndpointConfig", "endpoint-configs"),
        ("sagemaker: DescribeEndpoint DeleteEndpoint", "endpoints"),
        ("sagemaker: DescribeInferenceComponent DeleteInferenceComponent", "inference-components"),
        *BESIDE_ENDPOINTS,
        ("states: StartExecution", "update-workflow"),
        ("states: StartExecution", "teardown-workflow"),
        ("states: StartExecution", "sleep-workflow"),
        ("states: StartExecution", "register-workflow"),
        ("states: DescribeExecution", "deploy-workflow/executions"),
        ("states: DescribeExecution", "update-workflow/executions"),
        ("states: DescribeExecution", "teardown-workflow/executions"),
        ("states: DescribeExecution", "sleep-workflow/executions"),
        ("cloudwatch: GetMetricData", ANYWHERE),
        ("states: DescribeExecution", "register-workflow/executions"),
        ("states: SendTaskSuccess SendTaskFailure SendTaskHeartbeat", ANYWHERE),
    ],
    # ----------------------------------------------------------------------------------------------- metrics
    "metrics": [  # it reads, and changes nothing
        ("dynamodb: Query", "metrics-table"),
        ("dynamodb: Query BatchGetItem", "jobs-table"),
        ("dynamodb: Query BatchGetItem", "endpoints-table"),
        ("dynamodb: Scan", "waits-table"),
        ("cloudwatch: GetMetricData", ANYWHERE),
    ],
    "metrics_count": [
        ("dynamodb: PutItem UpdateItem", "metrics-table"),
        ("sqs: SendMessage", "undelivered-queue"),  # lines that could not be counted
    ],
    # ------------------------------------------------------------------------------------------------- stats
    "stats": [  # it reads, and changes nothing
        ("dynamodb: BatchGetItem", "datasets-table"),
        ("dynamodb: GetItem BatchGetItem Query", "models-table"),
        ("dynamodb: BatchGetItem Query", "models-index-table"),
        ("dynamodb: BatchGetItem Query", "jobs-table"),
        ("dynamodb: BatchGetItem Query", "endpoints-table"),
        ("dynamodb: Scan", "waits-table"),
        ("cognito-idp: ListUsers", "user-pool"),
        ("batch: GetJobQueueSnapshot", "queues"),
        ("batch: ListServiceJobs", ANYWHERE),
        ("cloudwatch: GetMetricData", ANYWHERE),
    ],
    # ------------------------------------------------------------------------------------------------ system
    "system": [],
}
