"""The permissions of the deployed roles, one by one, and how one of them is taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stacks.grants import GRANTS
from tests.journeys.checks.world import World

POLICY = "grants"  # the name of each role's only policy
Statement = dict[str, Any]
Check = Callable[[World], None]


@dataclass(frozen=True)
class Permission:
    """One action of the `grant`th line of a function's grants."""

    function: str
    grant: int
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.function}: {self.action} on {self.resource}"


def permissions() -> list[Permission]:
    """Return every permission in the grants table."""
    return [
        Permission(function, index, f"{service}:{action}", resource)
        for function, grants in GRANTS.items()
        for index, (actions, resource) in enumerate(grants)
        for service, _, names in [actions.partition(": ")]
        for action in names.split()
    ]


def listed(value: Any) -> list[Any]:
    """Return what a policy gives as one thing or a list, as a list."""
    return value if isinstance(value, list) else [value]


def without_action(statements: list[Statement], permission: Permission) -> list[Statement]:
    """Return a function's statements without one action; the first one, which lets it log, has no grant."""
    index = permission.grant + 1
    assert len(statements) == len(GRANTS[permission.function]) + 1, "a statement for each grant"
    changed = statements[index]
    actions = [action for action in listed(changed["Action"]) if action != permission.action]
    assert len(actions) == len(listed(changed["Action"])) - 1, f"{permission} is in the deployed role"
    left = [changed | {"Action": actions}] if actions else []
    return [*statements[:index], *left, *statements[index + 1 :]]


def without_resource(statements: list[Statement], action: str, resource: str) -> list[Statement]:
    """Return statements without one action on one resource, as a policy spells it."""
    left: list[Statement] = []
    for statement in statements:
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        if action not in actions or resource not in resources:
            left.append(statement)
            continue
        if others := [name for name in actions if name != action]:
            left.append(statement | {"Action": others})
        if elsewhere := [arn for arn in resources if arn != resource]:
            left.append(statement | {"Action": action, "Resource": elsewhere})
    assert left != statements, f"{action} on {resource} is in the deployed role"
    return left


def pairs(statements: list[Statement]) -> list[tuple[str, str]]:
    """Return every (action, resource) of statements."""
    return [
        (action, resource)
        for statement in statements
        for resource in listed(statement["Resource"])
        for action in listed(statement["Action"])
    ]


def statements_of(world: World, role_arn: str) -> list[Statement]:
    """Return the statements of a deployed role."""
    iam, role = world.platform.client("iam"), role_arn.rsplit("/", 1)[-1]
    return iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]["Statement"]


@contextmanager
def role_with(
    world: World, role_arn: str, change: Callable[[list[Statement]], list[Statement]]
) -> Iterator[list[Statement]]:
    """Change a deployed role's statements for a while; the emulator judges every call by what is stored then."""
    iam, role = world.platform.client("iam"), role_arn.rsplit("/", 1)[-1]
    policy = iam.get_role_policy(RoleName=role, PolicyName=POLICY)["PolicyDocument"]
    reduced = policy | {"Statement": change(policy["Statement"])}
    iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=json.dumps(reduced))
    try:
        yield policy["Statement"]
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=POLICY, PolicyDocument=json.dumps(policy))


def is_red(check: Check, world: World) -> bool:
    """Return whether a check fails, in whatever way."""
    try:
        check(world)
    except Exception as error:
        print(f"    {type(error).__name__}: {str(error)[:150]}", flush=True)
        return True
    return False


def still_green_without(world: World, role_arn: str, check_of: Callable[[str], Check]) -> list[tuple[str, str]]:
    """Take each (action, resource) from a role in turn; return those whose check succeeds all the same.

    `check_of` says by the resource what needs it.
    """
    every = pairs(statements_of(world, role_arn))
    for check in {check_of(resource) for _, resource in every}:
        check(world)  # green with everything
    survivors = []
    for action, resource in every:
        check = check_of(resource)
        print(f"{action} on {resource}: {check.__name__}", flush=True)
        with role_with(world, role_arn, lambda given: without_resource(given, action, resource)):  # noqa: B023
            red = is_red(check, world)
        if red:
            check(world)
        else:
            survivors.append((action, resource))
    print(f"\nred: {len(every) - len(survivors)}/{len(every)}")
    return survivors
