"""Deploy the cloud assembly into the running emulator: publish the files, make the images, create or update stacks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local import images
from local.assembly import assets, filled_in, packaged, stacks
from local.front_door import TOKEN_PATH
from local.home import ACCOUNT, REGION, STAGE, Home, PlatformError
from local.outputs import DEPLOYED, OUTPUTS
from local.process import Running

BOOTSTRAP = ("/cdk-bootstrap/hnb659fds/version", "21")  # the parameter that CDK's templates look for
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
STACK_SECONDS = 300.0
POLL_SECONDS = 0.1
FAILED_CREATES = ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED")
LARGEST_BODY = 51_200  # bytes; a longer template must come from S3


def deploy(home: Home, running: Running, place: Path, tell: Callable[[str], None]) -> None:
    """Make the platform what the assembly at `place` says. Raises PlatformError with CloudFormation's reason."""
    if (home.read(DEPLOYED) or {}).get("assembly") != place.name:
        build_images(place, tell)
        publish_files(home, running, place)
        outputs = {}
        for stack in stacks(place):
            tell(f"Deploying {stack['stackName']} ...")
            outputs |= deploy_stack(client(home, running, "cloudformation"), place, stack)
        requests.post(f"{running.emulator_url}/_slipway/save", timeout=60).raise_for_status()
        home.write(DEPLOYED, deployed(place, outputs))
        home.write(OUTPUTS, outputs)
    else:
        build_images(place, tell)  # quick when they are in the cache; the cache may have been emptied
    write_urls(home, running)


def client(home: Home, running: Running, service: str) -> Any:
    """A boto3 client against the emulator, as root."""
    key = home.root_key()
    return boto3.client(
        service,
        endpoint_url=running.emulator_url,
        region_name=REGION,
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=Config(signature_version="s3v4" if service == "s3" else None, retries={"max_attempts": 2}),
    )


def build_images(place: Path, tell: Callable[[str], None]) -> None:
    """Make the images of the assembly, all at once, so that the first job of each need not wait; large ones may."""

    def build(source: dict[str, Any]) -> None:
        context, dockerfile = place / source["directory"], source.get("dockerFile", "Dockerfile")
        if images.is_large((context / dockerfile).parent):
            return
        if not images.located(context, dockerfile).python.exists():
            tell(f"Installing the packages of the {Path(dockerfile).parent.name} image (once) ...")
        images.build(context, dockerfile)

    with ThreadPoolExecutor() as pool:
        list(pool.map(build, [asset["source"] for asset in assets(place, "dockerImages")]))


def publish_files(home: Home, running: Running, place: Path) -> None:
    """Put the assembly's files where its templates look for them, as `cdk bootstrap` and `cdk deploy` would."""
    s3 = client(home, running, "s3")
    name, version = BOOTSTRAP
    client(home, running, "ssm").put_parameter(Name=name, Value=version, Type="String", Overwrite=True)
    for asset in assets(place, "files"):
        for destination in asset["destinations"].values():
            bucket, key = filled_in(destination["bucketName"]), destination["objectKey"]
            ensure_bucket(s3, bucket)
            if not has_object(s3, bucket, key):
                s3.put_object(Bucket=bucket, Key=key, Body=packaged(place, asset["source"]))


def ensure_bucket(s3: Any, bucket: str) -> None:
    """Create the bucket unless it is there."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        s3.create_bucket(Bucket=bucket)


def has_object(s3: Any, bucket: str, key: str) -> bool:
    """Whether the object is there: its key is made from its content, so it is the right one."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "404":
            raise
        return False
    return True


def deploy_stack(cloudformation: Any, place: Path, stack: dict[str, Any]) -> dict[str, str]:
    """Create or update one stack, wait for it, and return its outputs. Raises PlatformError."""
    name = stack["stackName"]
    request = {
        "StackName": name,
        "Capabilities": CAPABILITIES,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in stack.get("parameters", {}).items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.get("tags", {}).items()],
        **template_source(place, stack),
    }
    current = settled(cloudformation, name)
    if current and current["StackStatus"] in FAILED_CREATES:
        cloudformation.delete_stack(StackName=name)
        current = settled(cloudformation, name)
    try:
        if current:
            cloudformation.update_stack(**request)
        else:
            cloudformation.create_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"]["Message"]:
            raise PlatformError(f"CloudFormation refuses {name}: {error.response['Error']['Message']}") from error
    result = settled(cloudformation, name)
    if result is None or result["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise PlatformError(f"Deploying {name} failed.\n" + "\n".join(failures(cloudformation, name)))
    return {output["OutputKey"]: output["OutputValue"] for output in result.get("Outputs", [])}


def template_source(place: Path, stack: dict[str, Any]) -> dict[str, str]:
    """The template as a request takes it: its text, or its published copy when it is long."""
    text = (place / stack["templateFile"]).read_text()
    if len(text.encode()) <= LARGEST_BODY:
        return {"TemplateBody": text}
    bucket, key = filled_in(stack["stackTemplateAssetObjectUrl"]).removeprefix("s3://").split("/", 1)
    return {"TemplateURL": f"https://s3.{REGION}.amazonaws.com/{bucket}/{key}"}


def settled(cloudformation: Any, name: str) -> dict[str, Any] | None:
    """The stack once nothing is in progress, or None when there is none. Raises PlatformError after a long wait."""
    deadline = time.monotonic() + STACK_SECONDS
    while time.monotonic() < deadline:
        try:
            stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in error.response["Error"]["Message"]:
                raise
            return None
        if stack["StackStatus"] == "DELETE_COMPLETE":
            return None
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(POLL_SECONDS)
    raise PlatformError(
        f"The stack {name} has not settled in {STACK_SECONDS:.0f} seconds; run `make reset` and `make up`."
    )


def failures(cloudformation: Any, name: str) -> list[str]:
    """What went wrong, resource by resource, the first cause first."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    return [
        f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]


def deployed(place: Path, outputs: dict[str, str]) -> dict[str, Any]:
    """What deployed.json says after this deployment."""
    api = re.search(r"https?://([a-z0-9]+)\.execute-api\.", outputs.get("ApiUrl", ""))
    uris = {}
    for asset in assets(place, "dockerImages"):
        source = asset["source"]
        for destination in asset["destinations"].values():
            repository = filled_in(destination["repositoryName"])
            uri = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}:{destination['imageTag']}"
            uris[uri] = {
                "directory": str(place / source["directory"]),
                "dockerfile": source.get("dockerFile", "Dockerfile"),
            }
    return {
        "assembly": place.name,
        "api_id": api[1] if api else None,
        "images": uris,
        "import_buckets": import_buckets(place),
    }


def import_buckets(place: Path) -> list[str]:
    """The buckets beside the stacks' own whose objects the functions may link to, as their variables name them."""
    templates = [json.loads((place / stack["templateFile"]).read_text()) for stack in stacks(place)]
    resources = [resource for template in templates for resource in template["Resources"].values()]
    variables = [found.get("Properties", {}).get("Environment", {}).get("Variables", {}) for found in resources]
    named = {given["IMPORT_BUCKETS"] for given in variables if "IMPORT_BUCKETS" in given}
    return sorted({bucket for names in named for bucket in json.loads(names)})


def write_urls(home: Home, running: Running) -> None:
    """Point ApiUrl, and TokenUrl where the stage has one, at the front door of this run."""
    outputs = home.read(OUTPUTS) or {}
    token_url = f"http://localhost:{running.port}{TOKEN_PATH}"
    urls = {"ApiUrl": running.api_url, "TokenUrl": token_url}
    found = {name: url for name, url in urls.items() if name in outputs}
    if outputs != outputs | found:
        home.write(OUTPUTS, {**outputs, **found, "Region": REGION, "Stage": STAGE})
