"""Exceptions from the AwsSolutions rules, made where the exception is and with its reason."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings on one construct: rule (`S1`, `IAM5[Resource::*]`) -> why it is right here."""
    acknowledgments = [cdk.Acknowledgment(id=f"AwsSolutions-{rule}", reason=reason) for rule, reason in reasons.items()]
    cdk.Validations.of(construct).acknowledge(*acknowledgments)


def acknowledge_wildcards(role: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept resources with a wildcard in one role's statements: ARN -> why it cannot be narrower."""
    stack = cdk.Stack.of(role)
    named = {as_the_rules_write_it(stack.resolve(arn)): reason for arn, reason in reasons.items()}
    acknowledge(role, {f"IAM5[Resource::{arn}]": reason for arn, reason in named.items() if "*" in arn})


def as_the_rules_write_it(value: Any) -> str:
    """Return a resolved CloudFormation value as text, with references as `<LogicalId.Attribute>`."""
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return separator.join(as_the_rules_write_it(part) for part in parts)
        case _:
            return str(value)
