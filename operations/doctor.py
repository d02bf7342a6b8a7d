"""`make doctor STAGE=dev`: what this machine and the AWS account lack for a stage, each with the command for it."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cdk_app.settings import COMPREHEND_REGIONS, Settings
from local.home import STAGE
from operations import toolkit
from operations.account import Account, account_of
from operations.settings import settings_of
from operations.terminal import OperationError, run, table

SERVICES = ("apigateway", "batch", "cognito-idp", "dynamodb", "events", "lambda", "sagemaker", "stepfunctions")
CONCURRENT_EXECUTIONS = "Concurrent executions"
LAMBDA_CONCURRENCY = 100  # new accounts begin with 10, which a few browser tabs use up


@dataclass(frozen=True)
class Check:
    """One line of the table; `fix` is the command or sentence that mends what is missing."""

    name: str
    ok: bool
    found: str
    fix: str = ""


def main(arguments: Sequence[str]) -> int:
    """Print the checks of the stage named by the one argument, as JSON with --json; returns 1 when one fails."""
    (stage,) = [argument for argument in arguments if argument != "--json"]
    settings = settings_of(stage)
    if stage == STAGE:
        print("Stage local runs on this machine and asks nothing of AWS; `make status` says how it is.")
        return 0
    checks = list(examine(stage, settings))
    if "--json" in arguments:
        json.dump([asdict(check) for check in checks], sys.stdout, indent=2)
        print()
    else:
        print(report(checks))
    return 0 if all(check.ok for check in checks) else 1


def report(checks: Sequence[Check]) -> str:
    """Return the table, and below it what to run."""
    missing = [check for check in checks if not check.ok]
    rows = [["ok" if check.ok else "MISSING", check.name, check.found] for check in checks]
    fixes = [f"{check.name}:\n  {check.fix}" for check in missing]
    return "\n".join([table(rows), "", *(["To mend:", *fixes] if missing else ["Nothing is missing."])])


def examine(stage: str, settings: Settings) -> Iterator[Check]:
    """Yield every check; without credentials those of the account cannot be made and are left out."""
    answers = toolkit.docker_answers()
    yield Check("docker", answers, "answers" if answers else "does not answer", "Start Docker: it builds the image.")
    try:
        account = account_of(stage)
    except OperationError as error:
        yield Check("credentials", False, "not usable", str(error))
        return
    yield Check("credentials", True, f"account {account.id}, region {account.region}")
    yield bootstrap_check(account)
    yield region_check(account)
    yield comprehend_check(account, settings)
    yield from quota_checks(account, "sagemaker", needed_quotas(settings))
    yield from quota_checks(account, "lambda", {CONCURRENT_EXECUTIONS: LAMBDA_CONCURRENCY})


def bootstrap_check(account: Account) -> Check:
    """Return whether the CDK's own stack is there and new enough."""
    version = toolkit.bootstrap_version(account)
    found = f"version {version}" if version else "not there"
    return Check("CDK bootstrap", version >= toolkit.BOOTSTRAP_VERSION, found, toolkit.bootstrap_command(account))


def region_check(account: Account) -> Check:
    """Return whether the region has every service, as far as the installed AWS SDK knows."""
    absent = [name for name in SERVICES if account.region not in account.session.get_available_regions(name)]
    found = f"without {', '.join(absent)}" if absent else f"all {len(SERVICES)} services"
    return Check("region services", not absent, found, "Choose another region with AWS_REGION=.")


def comprehend_check(account: Account, settings: Settings) -> Check:
    """Return whether texts can be analysed where the settings say, which is the stage's own region by default."""
    region = settings.comprehend_region or account.region
    fix = f'Set "comprehend_region" of the stage in cdk.json to one of {", ".join(COMPREHEND_REGIONS)}.'
    return Check("Comprehend for POST /analyze", region in COMPREHEND_REGIONS, region, fix)


def needed_quotas(settings: Settings) -> dict[str, int]:
    """Return the SageMaker quotas that the stage needs, by name, in instances."""
    training = {f"{name} for training job usage": count for name, count in settings.training_instance_types.items()}
    first = next(iter(settings.training_instance_types))  # what an endpoint runs on when nobody says otherwise
    processing = f"{settings.processing_instance_type} for processing job usage"
    return {**training, f"{first} for endpoint usage": 1, processing: 1}


def quota_checks(account: Account, service: str, needed: Mapping[str, int]) -> Iterator[Check]:
    """Yield a check per quota of the service; a name that Service Quotas does not know is missing, too."""
    quotas = {quota["QuotaName"]: quota for quota in quotas_of(account, service) if quota["QuotaName"] in needed}
    for name, wanted in needed.items():
        quota = quotas.get(name)
        if quota is None:
            fix = f"No quota of {service} has this name in {account.region}; is the instance type offered there?"
            yield Check(name, False, f"unknown, {wanted} needed", fix)
        else:
            found = f"{quota['Value']:.0f}, {wanted} needed"
            yield Check(name, quota["Value"] >= wanted, found, increase_command(account, quota, wanted))


def quotas_of(account: Account, service: str) -> Iterable[dict[str, Any]]:
    """Return the service's quotas as applied to the account; those never changed only show among AWS's defaults."""
    client = account.client("service-quotas")
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):  # later ones win
        for page in client.get_paginator(operation).paginate(ServiceCode=service):
            yield from page["Quotas"]


def increase_command(account: Account, quota: Mapping[str, Any], wanted: int) -> str:
    """Return the command that asks AWS for the quota."""
    return (
        f"aws service-quotas request-service-quota-increase --region {account.region}"
        f" --service-code {quota['ServiceCode']} --quota-code {quota['QuotaCode']} --desired-value {wanted}"
    )


if __name__ == "__main__":
    run(main)
