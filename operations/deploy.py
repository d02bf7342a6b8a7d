"""`make deploy STAGE=dev`: bring a stage to what this tree says, with the pinned CDK, and write outputs.json."""

from collections.abc import Sequence
from pathlib import Path

from botocore.exceptions import ClientError

from local.assembly import assets
from local.deploy import build_images, deployed, write_urls
from local.home import STAGE, Home
from local.outputs import DEPLOYED, OUTPUTS
from local.process import running
from operations import toolkit
from operations.account import Account, account_of
from operations.deployed import outputs_of
from operations.settings import settings_of
from operations.terminal import OperationError, agreed_beforehand, confirmed, run

UNPUBLISHED = {"ImageNotFoundException", "RepositoryNotFoundException"}


def main(arguments: Sequence[str]) -> int:
    """Deploy the stage named by the one argument; returns 0, or 1 when the person says no."""
    (stage,) = arguments
    settings_of(stage)
    account = account_of(stage)
    print(f"Stage {stage}, account {account.id}, region {account.region}.")
    if toolkit.bootstrap_version(account) < toolkit.BOOTSTRAP_VERSION and not bootstrap(account):
        return 1
    home = Home.from_environment()
    assembly = home.path / "cdk.out" / stage
    toolkit.cdk(account, "synth", "--quiet", "--context", f"stage={stage}", "--output", str(assembly))
    require_docker(account, assembly)
    if not agreed_beforehand():
        toolkit.cdk(account, "diff", "--app", str(assembly))
    if not confirmed(f"Deploy stage {stage} to account {account.id} in {account.region}?"):
        return 1
    toolkit.cdk(account, "deploy", "--all", "--app", str(assembly), "--require-approval", "never")
    outputs = outputs_of(account, stage)
    home.write(OUTPUTS, outputs)
    if stage == STAGE:
        tell_platform(home, assembly, outputs)
    print("\n".join(next_steps(stage, (home.read(OUTPUTS) or {})["ApiUrl"])))
    return 0


def bootstrap(account: Account) -> bool:
    """Run `cdk bootstrap` if the person agrees; False when they do not."""
    print("The CDK keeps files and deployment roles in a stack of its own, CDKToolkit, once per account and region.")
    print(f"It is not here yet, or too old. The command that makes it: {toolkit.bootstrap_command(account)}")
    if not confirmed("Run it now?"):
        return False
    toolkit.cdk(account, *toolkit.bootstrap_arguments(account))
    return True


def require_docker(account: Account, assembly: Path) -> None:
    """Raise OperationError when an image must be built and Docker does not answer."""
    images = [image for asset in assets(assembly, "dockerImages") for image in asset["destinations"].values()]
    if all(published(account, image) for image in images):
        return
    if not toolkit.docker_answers():
        raise OperationError(
            "An image is not published yet and building it needs Docker; start Docker, then run this again."
        )


def published(account: Account, image: dict[str, str]) -> bool:
    """Whether an image is in its repository; when the caller may not look, CDK's publishing role will."""
    tag = {"imageTag": image["imageTag"]}
    try:
        account.client("ecr").describe_images(repositoryName=repository_of(account, image), imageIds=[tag])
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in UNPUBLISHED:
            return False
        if code != "AccessDeniedException":
            raise
    return True


def repository_of(account: Account, image: dict[str, str]) -> str:
    """Return the repository's name with the account and region that CDK leaves open filled in."""
    name = image["repositoryName"].replace("${AWS::AccountId}", account.id)
    return name.replace("${AWS::Region}", account.region)


def tell_platform(home: Home, assembly: Path, outputs: dict[str, str]) -> None:
    """Let the platform on this machine serve what was deployed into it: its API, its images, its own address."""
    process = running(home)
    assert process is not None  # the account of stage local is this process
    build_images(assembly, print)
    home.write(DEPLOYED, deployed(assembly, outputs))
    write_urls(home, process)


def next_steps(stage: str, api_url: str) -> list[str]:
    """Return what to print after a deployment."""
    return [
        f"API      {api_url}",
        f"Docs     {api_url}/docs",
        f"Admin    make admin USERNAME=<name> STAGE={stage}",
        f"Quotas   make doctor STAGE={stage}",
    ]


if __name__ == "__main__":
    run(main)
