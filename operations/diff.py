"""`make diff STAGE=dev`: what deploying this tree would change, read with the CDK's role that only looks."""

from collections.abc import Sequence

from local.home import Home
from operations import toolkit
from operations.account import account_of
from operations.settings import settings_of
from operations.terminal import run


def main(arguments: Sequence[str]) -> int:
    """Print the difference between the stage named by the one argument and this tree; returns 0."""
    (stage,) = arguments
    settings_of(stage)
    account = account_of(stage)
    assembly = Home.from_environment().path / "cdk.out" / stage
    toolkit.synthesise(account, stage, assembly)
    # Templates are compared, no change set is made: that would take the role that deploys.
    toolkit.cdk(account, "diff", "--app", str(assembly), "--method", "template")
    return 0


if __name__ == "__main__":
    run(main)
