"""A DynamoDB table: on demand, with point-in-time recovery."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_app.constructs.key import key_of
from cdk_app.constructs.retention import removal_policy
from cdk_app.settings import Settings


class Table(dynamodb.Table):
    """A table keyed by string attributes; `by_id` adds the index of that name, whose items are keys only."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        partition_key: str,
        sort_key: str | None = None,
        by_id: bool = False,
        expires_at: str | None = None,
    ) -> None:
        key = key_of(scope, id, settings)
        super().__init__(
            scope,
            id,
            partition_key=string(partition_key),
            sort_key=string(sort_key) if sort_key else None,
            time_to_live_attribute=expires_at,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if key else dynamodb.TableEncryption.DEFAULT,
            encryption_key=key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings.retain_data,
            removal_policy=removal_policy(settings),
        )
        if by_id:
            self.add_global_secondary_index(
                index_name="by_id", partition_key=string("id"), projection_type=dynamodb.ProjectionType.KEYS_ONLY
            )


def string(name: str) -> dynamodb.Attribute:
    """Return a string attribute."""
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
