"""The pinned CDK command line, run with the node of requirements.txt: nothing to install on the machine first."""

import json
import os
import subprocess
import sys
from pathlib import Path

from local.assembly import NODE
from local.home import REPOSITORY
from operations.account import Account
from operations.terminal import OperationError

CDK = REPOSITORY / "node_modules/aws-cdk/bin/cdk"
QUIET = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CDK_DISABLE_VERSION_CHECK": "true",  # the newest is not the one that is pinned
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
}
BOOTSTRAP_VERSION = 6  # what the rule in every synthesised template asks for
BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"


def pinned() -> str:
    """Return the CDK version that package.json pins."""
    return json.loads((REPOSITORY / "package.json").read_text())["devDependencies"]["aws-cdk"]


def cdk(account: Account, *arguments: str) -> None:
    """Run the CDK command line against `account`, its output on this terminal; raises OperationError when it fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), str(NODE), account.environment["PATH"]])
    command = [NODE / "node", CDK, *arguments, "--no-notices"]
    done = subprocess.run(command, cwd=REPOSITORY, env={**account.environment, **QUIET, "PATH": path}, check=False)
    if done.returncode:
        raise OperationError(f"`cdk {' '.join(arguments)}` ended with status {done.returncode}; see above.")


def synthesise(account: Account, stage: str, assembly: Path) -> None:
    """Write the cloud assembly of a stage; raises OperationError when it cannot be synthesised."""
    cdk(account, "synth", "--quiet", "--context", f"stage={stage}", "--output", str(assembly))


def bootstrap_version(account: Account) -> int:
    """Return the version of the CDK's own stack in the account and region, 0 when it is not there."""
    client = account.client("ssm")
    try:
        return int(client.get_parameter(Name=BOOTSTRAP_PARAMETER)["Parameter"]["Value"])
    except client.exceptions.ParameterNotFound:
        return 0


def bootstrap_arguments(account: Account) -> list[str]:
    """Return what `cdk` is run with to put its own stack into the account and region."""
    return ["bootstrap", f"aws://{account.id}/{account.region}"]


def bootstrap_command(account: Account) -> str:
    """Return the same for a person to run."""
    return f"npx aws-cdk@{pinned()} {' '.join(bootstrap_arguments(account))}"


def docker_answers() -> bool:
    """Whether a Docker daemon answers on this machine."""
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
