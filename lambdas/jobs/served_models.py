"""Which version an endpoint serves. Endpoints call jobs and not the other way, so their record is read as it lies."""

from lambdas.common import aws
from lambdas.common.environment import variable
from lambdas.common.errors import NotFound
from lambdas.common.items import from_item, key
from lambdas.models.schemas import ModelReference


def served_model(owner: str, endpoint_id: str) -> ModelReference:
    """Return the version that a user's endpoint serves now, or served before it fell asleep; raises NotFound."""
    answer = aws.client("dynamodb").get_item(
        TableName=variable("ENDPOINTS_TABLE"), Key=key(owner, endpoint_id), ConsistentRead=True
    )
    if "Item" not in answer:
        raise NotFound(f"There is no endpoint {endpoint_id}.")
    return ModelReference.model_validate(from_item(answer["Item"])["model"])
