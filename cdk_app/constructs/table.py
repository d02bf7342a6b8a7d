"""A DynamoDB table: on demand, with point-in-time recovery."""

from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from cdk_app.constructs.key import key_of
from cdk_app.constructs.retention import removal_policy
from cdk_app.settings import Settings


class Table(dynamodb.TableV2):
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
        encryption = (
            dynamodb.TableEncryptionV2.customer_managed_key(key)
            if key
            else dynamodb.TableEncryptionV2.dynamo_owned_key()
        )
        index = dynamodb.GlobalSecondaryIndexPropsV2(
            index_name="by_id", partition_key=string("id"), projection_type=dynamodb.ProjectionType.KEYS_ONLY
        )
        super().__init__(
            scope,
            id,
            partition_key=string(partition_key),
            sort_key=string(sort_key) if sort_key else None,
            global_secondary_indexes=[index] if by_id else None,
            time_to_live_attribute=expires_at,
            billing=dynamodb.Billing.on_demand(),
            encryption=encryption,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=settings.retain_data,
            removal_policy=removal_policy(settings),
        )


def string(name: str) -> dynamodb.Attribute:
    """Return a string attribute."""
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
