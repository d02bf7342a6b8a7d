"""The AWS account and region a stage lives in; stage `local` lives in the platform on this machine."""

import os
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from local.home import ACCOUNT, REGION, Home
from local.process import running
from operations.terminal import OperationError

RETRIES = Config(retries={"mode": "standard", "max_attempts": 8})  # deleting many things is throttled
REFUSED = {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch"}


@dataclass(frozen=True)
class Account:
    """Where a stage lives, and the clients to reach it with."""

    id: str
    region: str
    session: boto3.Session = field(repr=False)
    environment: dict[str, str] = field(repr=False)  # of other programs that shall reach the same account
    endpoint: str | None = None  # of the emulator, for stage `local`
    api_url: str | None = None  # where the platform on this machine serves the API, whatever CloudFormation says

    def client(self, service: str, seconds: int = 60) -> Any:
        """Return a client of `service` in this account and region that waits so long for an answer."""
        config = RETRIES.merge(Config(read_timeout=seconds))
        return self.session.client(service, endpoint_url=self.endpoint, config=config)


def account_of(stage: str) -> Account:
    """Return the account of a stage; raises OperationError when there are no usable credentials or no region."""
    return local_account() if stage == "local" else aws_account()


def local_account() -> Account:
    """Return the platform on this machine as an account, with its root key; raises OperationError when it is down."""
    home = Home.from_environment()
    process = running(home)
    if process is None:
        raise OperationError("The platform on this machine is not running; run `make up`.")
    key = home.root_key()
    session = boto3.Session(key["access_key_id"], key["secret_access_key"], region_name=REGION)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": key["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        "AWS_ENDPOINT_URL": process.emulator_url,
        "AWS_REGION": REGION,
    }
    return Account(ACCOUNT, REGION, session, environment, process.emulator_url, process.api_url)


def aws_account() -> Account:
    """Return the account that AWS_PROFILE (or the default chain) and AWS_REGION name; raises OperationError."""
    try:
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # boto3 itself reads AWS_DEFAULT_REGION only
        if session.region_name is None:
            raise OperationError("No AWS region is set; run again with AWS_REGION=us-east-1, or the region you want.")
        identity = session.client("sts", config=RETRIES).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        raise OperationError(why_refused(error)) from error
    environment = {**os.environ, "AWS_REGION": session.region_name}
    return Account(identity["Account"], session.region_name, session, environment)


def why_refused(error: BotoCoreError | ClientError) -> str:
    """Return one sentence for an error of the first call to AWS, with the command that mends it."""
    profile = os.environ.get("AWS_PROFILE")
    named = f" --profile {profile}" if profile else ""
    if isinstance(error, ProfileNotFound):
        return f"There is no AWS profile {profile}; `aws configure list-profiles` lists those of this machine."
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "There are no AWS credentials; run `aws configure sso`, then again with AWS_PROFILE=<its name>."
    expired = isinstance(error, ClientError) and error.response["Error"]["Code"] in REFUSED
    if expired or isinstance(error, (SSOError, TokenRetrievalError)):
        return f"AWS refuses the credentials ({error}); run `aws sso login{named}`, or `aws configure{named}`."
    return f"AWS does not answer who you are ({error}); try `aws sts get-caller-identity{named}`."
