"""Bearer tokens of SageMaker's OpenAI-compatible paths, judged by the emulator's IAM.

A token is a presigned call of CallWithBearerToken in base64: whoever holds it may do, until it expires, what the one
who signed it may do. So its signature, its time and its session are checked, and then the policies, the session's own
among them. See emulator; NAMES is as in emulator_hooks.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qs, urlsplit

from ministack.core import iam_evaluator, sigv4

from local.home import ACCOUNT, REGION
from local.sagemaker.protocol import ServiceError

NAMES: dict[str, dict[str, list[str] | None]] = {
    "core.sigv4": {
        "header_signature_failure": [
            "signature", "secret", "method", "raw_path", "query_params", "headers", "body", "presigned", "explain",
        ],
        "parse_query_signature": ["query_params"],
        "presigned_request_is_expired": ["amz_date", "expires", "now"],
    },
    "core.iam_evaluator": {
        "resolve_credential": ["access_key_id", "account_id", "session_token"],
        "resolve_principal": ["access_key_id", "account_id", "credential"],
    },
}  # fmt: skip
PREFIX = "sagemaker-api-key-"
HOST = "sagemaker.amazonaws.com"
LONGEST = 12 * 3600  # seconds that AWS lets a token live


def refused(code: str, message: str) -> ServiceError:
    """The error of a token that is not good for this."""
    return ServiceError(code, message, 403)


def check(token: str, wanted: list[tuple[str, str]]) -> None:
    """Raise ServiceError unless the token is good now and its holder may do all that is wanted, (action, ARN) each."""
    query = call_in(token)
    signature = sigv4.parse_query_signature(query)
    if isinstance(signature, tuple):
        raise refused(*signature)
    if (signature.service, signature.region) != ("sagemaker", REGION):
        raise refused("InvalidSignatureException", f"The token is not signed for SageMaker in {REGION}.")
    key = signature.access_key_id
    credential = iam_evaluator.resolve_credential(key, ACCOUNT, query.get("X-Amz-Security-Token", [""])[0])
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        raise refused(credential.code, credential.message)
    if failure := sigv4.header_signature_failure(
        signature, credential.secret_access_key, "POST", "/", query, {"host": HOST}, b"", presigned=True
    ):
        raise refused(*failure)
    if is_expired(signature.amz_date, query.get("X-Amz-Expires", [""])[0]):
        raise refused("ExpiredTokenException", "The bearer token has expired.")
    principal = iam_evaluator.resolve_principal(key, ACCOUNT, credential)
    if isinstance(principal, iam_evaluator.AuthError):
        raise refused(principal.code, principal.message)
    for action, arn in wanted:
        if not allows(principal, action, arn):
            message = f"User: {principal.arn} is not authorized to perform: {action} on resource: {arn}"
            raise refused("AccessDeniedException", message)


def call_in(token: str) -> dict[str, list[str]]:
    """The query of the presigned call in a token. Raises ServiceError."""
    malformed = refused("UnrecognizedClientException", "The bearer token is not one of SageMaker's.")
    if not token.startswith(PREFIX):
        raise malformed
    try:
        url = urlsplit("https://" + base64.b64decode(token.removeprefix(PREFIX), validate=True).decode())
    except (binascii.Error, ValueError) as error:
        raise malformed from error
    query = parse_qs(url.query, keep_blank_values=True)
    query.pop("Version", None)  # which is appended after signing
    if (url.netloc, url.path, query.get("Action")) != (HOST, "/", ["CallWithBearerToken"]):
        raise malformed
    return query


def is_expired(signed_at: str, lifetime: str) -> bool:
    """Whether a token's own time is over; one that is to live longer than any may is not good at all."""
    if not lifetime.isdigit() or not 0 < int(lifetime) <= LONGEST:
        return True
    try:
        return sigv4.presigned_request_is_expired(signed_at, lifetime)
    except ValueError:
        return True


def allows(principal: iam_evaluator.PrincipalInfo, action: str, arn: str) -> bool:
    """Whether the principal's policies, within its boundary and its session's policies, allow the action."""
    if principal.policies is None:
        return True  # root
    context = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=arn,
        region=REGION,
        secure_transport=True,
        service_context={},
        principal_keys=principal.keys,
    )
    return iam_evaluator.evaluate(context, principal.policies, *principal.limits).decision == "Allow"
