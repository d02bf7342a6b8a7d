"""AWS clients, made on first use and kept for the life of the process."""

import os
import threading
from functools import cache
from typing import Any

# boto3 is imported inside the functions: importing it costs a third of a cold start, and a request that
# needs no AWS call should not pay for it.

INVOKE_SECONDS = 25
ONE_AT_A_TIME = threading.Lock()  # threads may share a client, but boto3 does not make two at once


@cache
def client(service: str, region: str | None = None) -> Any:
    """Return the process's one client of `service`, in the function's own region unless another is named."""
    import boto3
    from botocore.config import Config

    # API Gateway waits 29 s. A model may take most of that, and is not asked again; Comprehend, whose quota is the
    # whole account's, is asked up to three times.
    patience = {"sagemaker-runtime": (INVOKE_SECONDS, 1), "comprehend": (6, 3)}
    seconds, attempts = patience.get(service, (20, 4))
    retries = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(retries=retries, connect_timeout=3, read_timeout=seconds)
    with ONE_AT_A_TIME:
        return boto3.client(service, region_name=region, config=config)


@cache
def s3_presigner() -> Any:
    """Return an S3 client for presigned URLs only.

    SigV4 always: the older form does not sign the content length. `SLIPWAY_S3_ENDPOINT` names the address
    under which people reach S3 where that differs from where functions do (the platform on one machine).
    """
    import boto3
    from botocore.config import Config

    endpoint = os.environ.get("SLIPWAY_S3_ENDPOINT")
    addressing = "path" if endpoint else "virtual"
    region = os.environ.get("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION"))
    # The regional host name: the global one redirects, and a redirect breaks the signature.
    regional = endpoint or (f"https://s3.{region}.amazonaws.com" if region else None)
    config = Config(signature_version="s3v4", s3={"addressing_style": addressing})
    with ONE_AT_A_TIME:
        return boto3.client("s3", endpoint_url=regional, config=config)


def error_code(error: Exception) -> str:
    """Return the AWS error code of a botocore ClientError, or an empty string."""
    return getattr(error, "response", {}).get("Error", {}).get("Code", "")
