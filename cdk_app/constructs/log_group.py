"""A log group that forgets: retention is set, and the group goes with its stack."""

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.constructs.key import key_of
from cdk_app.settings import RetentionDays, Settings

RETENTION: dict[RetentionDays, logs.RetentionDays] = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


class LogGroup(logs.LogGroup):
    """A log group with the stage's retention and key."""

    def __init__(self, scope: Construct, id: str, *, settings: Settings, name: str | None = None) -> None:
        super().__init__(
            scope,
            id,
            log_group_name=name,
            retention=RETENTION[settings.log_retention_days],
            encryption_key=key_of(scope, id, settings),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
