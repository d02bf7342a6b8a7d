"""A REST API whose every answer, API Gateway's own included, has our error shape and CORS headers."""

import json
from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_app.constructs.acknowledge import acknowledge
from cdk_app.constructs.log_group import LogGroup
from cdk_app.settings import Settings

STAGE = "api"
TOO_LARGE = "Over 4 MB, files go to S3: ask POST /ai-models/uploads or POST /datasets for an upload plan."
# Response type -> status, code and sentence. The two defaults stand for every type not named here.
Answers = apigateway.ResponseType
GATEWAY_ANSWERS: dict[str, tuple[apigateway.ResponseType, str | None, str, str]] = {
    # API Gateway takes 10 MB, a function 6 MiB of base64: what lies between ends as one or the other of these two.
    "Default4xx": (Answers.DEFAULT_4_XX, None, "bad_request", f"The request is not valid, or too large. {TOO_LARGE}"),
    "TooLarge": (Answers.REQUEST_TOO_LARGE, "413", "too_large", f"The request is too large. {TOO_LARGE}"),
    "Default5xx": (Answers.DEFAULT_5_XX, "500", "internal_error", "Something went wrong on our side; try again."),
    "NoRoute": (Answers.MISSING_AUTHENTICATION_TOKEN, "404", "not_found", "There is no such route."),
    "NoToken": (
        Answers.UNAUTHORIZED,
        "401",
        "unauthenticated",
        "Send the ID token of POST /auth/login as a Bearer token.",
    ),
    "OldToken": (
        Answers.EXPIRED_TOKEN,
        "401",
        "unauthenticated",
        "The token has expired: POST /auth/refresh, or log in.",
    ),
    "Denied": (Answers.ACCESS_DENIED, "403", "forbidden", "You may not call this."),
    "TooMany": (Answers.THROTTLED, "429", "too_many_requests", "Too many requests: wait a moment and try again."),
    "TooSlow": (Answers.INTEGRATION_TIMEOUT, "503", "unavailable", "The answer took too long; try again in a moment."),
}
LOG_POLICY = "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
RETRY_AFTER = {"TooMany": "1", "TooSlow": "5"}  # seconds
ACCESS_LOG = {
    "request_id": "$context.requestId",
    "time": "$context.requestTime",
    "method": "$context.httpMethod",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "milliseconds": "$context.responseLatency",
    "username": "$context.authorizer.claims.cognito:username",
    "address": "$context.identity.sourceIp",
    "error": "$context.error.responseType",
    "integration_error": "$context.integration.error",
}


class RestApi(Construct):
    """A regional API; `routes` adds methods, and `url` has no trailing slash."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, user_pool: cognito.IUserPool) -> None:
        super().__init__(scope, id)
        self.access_log = LogGroup(self, "AccessLog", settings=settings)
        self.api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=f"slipway-{settings.stage}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            binary_media_types=["*/*"],  # uploads pass through whole; the functions answer text as text
            # The role for logs belongs to the account: a stage that goes must not take it from the others.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=cdk.RemovalPolicy.RETAIN,
            default_cors_preflight_options=apigateway.CorsOptions(
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                allow_headers=["Authorization", "Content-Type", "Accept", "Idempotency-Key"],
                max_age=cdk.Duration.hours(1),
            ),
            deploy_options=apigateway.StageOptions(
                stage_name=STAGE,
                access_log_destination=apigateway.LogGroupLogDestination(self.access_log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                throttling_rate_limit=200,  # requests a second, over all callers
                throttling_burst_limit=400,
            ),
        )
        self.api.node.try_remove_child("Endpoint")  # an output of its own, with a trailing slash
        self.authorizer = apigateway.CognitoUserPoolsAuthorizer(
            self, "Authorizer", authorizer_name=f"slipway-{settings.stage}", cognito_user_pools=[user_pool]
        )
        for name, (kind, status, code, detail) in GATEWAY_ANSWERS.items():
            self._answer(name, kind, status, code, detail)
        stack = cdk.Stack.of(self)
        self.url = f"https://{self.api.rest_api_id}.execute-api.{stack.region}.{stack.url_suffix}/{STAGE}"
        self._acknowledge()

    def routes(
        self,
        paths: Mapping[str, Sequence[str]],
        function: lambda_.Function,
        *,
        public: bool = False,
        scope: str | None = None,
    ) -> None:
        """Send each path's methods to `function`; with `public`, without a token.

        With `scope` it takes access tokens that have it, and no ID tokens; without, ID tokens and no others (API
        Gateway, "Integrate a REST API with an Amazon Cognito user pool").
        """
        integration = self._integration(function)
        for path, methods in paths.items():
            for method in methods:
                added = self.api.root.resource_for_path(path).add_method(
                    method,
                    integration,
                    authorizer=None if public else self.authorizer,
                    authorization_type=apigateway.AuthorizationType.NONE if public else None,
                    authorization_scopes=[scope] if scope else None,
                )
                if public:
                    reason = "Called before there is a token: health, the API's own description, sign-up and log-in."
                    acknowledge(added, {"APIG4": reason, "COG4": reason})

    def _integration(self, function: lambda_.Function) -> apigateway.Integration:
        # One permission per function, where CDK's own integration makes two per method: a function's resource policy
        # holds 20 KB.
        id = f"{function.node.id}Permission"
        if self.node.try_find_child(id) is None:
            lambda_.CfnPermission(
                self,
                id,
                action="lambda:InvokeFunction",
                function_name=function.function_arn,
                principal="apigateway.amazonaws.com",
                source_arn=self.api.arn_for_execute_api(stage=STAGE),
            )
        return apigateway.AwsIntegration(
            service="lambda", path=f"2015-03-31/functions/{function.function_arn}/invocations", proxy=True
        )

    def _answer(self, name: str, kind: apigateway.ResponseType, status: str | None, code: str, detail: str) -> None:
        body = {"detail": detail, "code": code, "request_id": "$context.requestId"}
        headers = {"Access-Control-Allow-Origin": "'*'"}
        if name in RETRY_AFTER:
            headers["Retry-After"] = f"'{RETRY_AFTER[name]}'"
        self.api.add_gateway_response(
            name,
            type=kind,
            status_code=status,
            response_headers=headers,
            templates={"application/json": json.dumps(body)},
        )

    def _acknowledge(self) -> None:
        acknowledge(self.api, {"APIG2": "Every function validates its own requests, and names the wrong fields."})
        reason = (
            "A web ACL costs 5 USD a month idle; requests are throttled, and the owner may attach one to the stage."
        )
        acknowledge(self.api.deployment_stage, {"APIG3": reason})
        reason = "AWS's own policy for the account-wide role by which API Gateway writes logs."
        acknowledge(self.api.node.find_child("CloudWatchRole"), {f"IAM4[{LOG_POLICY}]": reason})
