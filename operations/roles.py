"""`make create-sagemaker-role` and `make create-sagemaker-execution-role`: where the stage's roles are, as JSON files.

The roles are made with the stage. Neither has keys: SageMaker takes the one, people of the account the other, each for
a time.
"""

from collections.abc import Sequence

from local.home import Home
from operations.account import account_of
from operations.deployed import outputs_of
from operations.settings import settings_of
from operations.terminal import run

# Which role -> the stack's output, and the file that is written.
ROLES = {
    "operator": ("OperatorRoleArn", "sagemaker_role.json"),
    "execution": ("ExecutionRoleArn", "sagemaker_execution_role.json"),
}


def main(arguments: Sequence[str]) -> int:
    """Write the file of a role: arguments are the stage, and `operator` or `execution`."""
    stage, kind = arguments
    settings_of(stage)
    arn = outputs_of(account_of(stage), stage)[ROLES[kind][0]]
    home, file = Home.from_environment(), ROLES[kind][1]
    home.write(file, {"RoleArn": arn, "RoleName": arn.rpartition("/")[2], "Stage": stage})
    print(arn)
    print(f"Written to {home.path / file}.")
    if kind == "operator":
        print("\n".join(how_to_take(arn, stage)))
    return 0


def how_to_take(arn: str, stage: str) -> list[str]:
    """Return the lines that say how to act under the operator's role."""
    return [
        "To act under it, for an hour at a time, put this into ~/.aws/config and set AWS_PROFILE:",
        f"  [profile slipway-{stage}-operator]",
        f"  role_arn = {arn}",
        "  source_profile = <the profile that you sign in with>",
    ]


if __name__ == "__main__":
    run(main)
