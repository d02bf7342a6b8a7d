"""`make destroy STAGE=dev`: stop what a stage made at run time, delete its stacks, and say what is kept and billed."""

from collections.abc import Sequence
from dataclasses import dataclass

from local.home import STAGE, Home
from local.outputs import DEPLOYED, OUTPUTS
from operations import drain
from operations.account import Account, account_of
from operations.buckets import empty
from operations.deployed import (
    Resource,
    data_stack,
    delete_stack,
    find_stack,
    physical_ids,
    platform_stack,
    resources_of,
    retained_of,
)
from operations.settings import settings_of
from operations.terminal import confirmed, run

BILLED = {  # what costs money when it stays, by how AWS bills it
    "AWS::S3::Bucket": "storage, by the gigabyte",
    "AWS::DynamoDB::GlobalTable": "storage and point-in-time recovery, by the gigabyte",
    "AWS::Cognito::UserPool": "monthly active users beyond the free allowance",
}


@dataclass(frozen=True)
class Plan:
    """What destroying a stage means today; resources are those that exist."""

    stage: str
    platform: list[Resource] | None  # None: the stack is not there
    data: list[Resource] | None
    retained: list[Resource]  # of the stacks that are deleted
    made: drain.Made
    keeps_data: bool

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to delete."""
        data_stays = self.data is None or self.keeps_data
        return self.platform is None and data_stays and not self.made.lines()

    def lines(self) -> list[str]:
        """Return what to show before asking: what is deleted, what is kept, what is still billed."""
        deleted = self.made.lines()
        if self.platform is not None:
            deleted.append(f"stack {platform_stack(self.stage)} ({len(self.platform)} resources)")
        kept = ["stack CDKToolkit, which other CDK apps share, with the published images and files (storage)"]
        kept.append("log group /aws/sagemaker/TrainingJobs, which is the account's (storage)")
        if self.data is not None and self.keeps_data:
            kept.append(f"stack {data_stack(self.stage)}: this stage has retain_data; the next deploy uses it again")
            kept += [f"  {kind(one)} {one.physical_id}{billed(one)}" for one in self.data if one.type in BILLED]
        elif self.data is not None:
            buckets = physical_ids(self.data, "AWS::S3::Bucket")
            deleted.append(f"stack {data_stack(self.stage)} ({len(self.data)} resources), users and tables with it")
            deleted += [f"every object in bucket {bucket}" for bucket in buckets]
        kept += [f"{kind(one)} {one.physical_id}{billed(one)}" for one in self.retained]
        return [
            "To delete:",
            *(f"  {line}" for line in deleted or ["nothing"]),
            "To keep, billed as said:",
            *(f"  {line}" for line in kept),
        ]


def kind(resource: Resource) -> str:
    """Return a resource's type as a person says it, for instance `S3 Bucket`."""
    return " ".join(resource.type.split("::")[1:])


def billed(resource: Resource) -> str:
    """Return how a resource that stays is billed, in brackets, or nothing when it costs nothing."""
    return f" ({BILLED[resource.type]})" if resource.type in BILLED else ""


def main(arguments: Sequence[str]) -> int:
    """Destroy the stage named by the one argument; returns 0, or 1 when the person says no."""
    (stage,) = arguments
    keeps_data = settings_of(stage).retain_data
    account = account_of(stage)
    plan = plan_of(account, stage, keeps_data)
    print(f"Stage {stage}, account {account.id}, region {account.region}.", *plan.lines(), sep="\n")
    if plan.nothing:
        print("There is nothing to delete.")
        return 0
    if not confirmed(f"Destroy stage {stage}?"):
        return 1
    destroy(account, plan)
    forget(Home.from_environment(), stage)
    print(f"Stage {stage} is destroyed; what is kept is listed above.")
    return 0


def plan_of(account: Account, stage: str, keeps_data: bool) -> Plan:
    """Return what destroying the stage means, from what is there now."""
    names = [platform_stack(stage), data_stack(stage)]
    there = [name for name in names if find_stack(account, name)]
    platform, data = (resources_of(account, name) if name in there else None for name in names)
    going = [name for name in there if name == platform_stack(stage) or not keeps_data]
    retained = [one for name in going for one in retained_of(account, name)]
    return Plan(stage, platform, data, retained, drain.find(account, stage, platform or []), keeps_data)


def destroy(account: Account, plan: Plan) -> None:
    """Carry the plan out. What failed half-way is finished by running it again."""
    drain.drain(account, plan.stage, plan.platform or [])
    if plan.platform is not None:
        delete_stack(account, platform_stack(plan.stage))
        drain.drain(account, plan.stage, [])  # what a request made while the queues were closing
    if plan.data is not None and not plan.keeps_data:
        for bucket in physical_ids(plan.data, "AWS::S3::Bucket"):
            print(f"{bucket}: {empty(account, bucket)} object versions deleted")
        delete_stack(account, data_stack(plan.stage))


def forget(home: Home, stage: str) -> None:
    """Remove what this machine remembers of the stage: the next `make up` or `make deploy` starts afresh."""
    if (home.read(OUTPUTS) or {}).get("Stage") == stage:
        home.remove(OUTPUTS)
    if stage == STAGE:
        home.remove(DEPLOYED)


if __name__ == "__main__":
    run(main)
