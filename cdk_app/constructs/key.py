"""The stage's own encryption key, where its settings name one."""

from aws_cdk import aws_kms as kms
from constructs import Construct

from cdk_app.settings import Settings


def key_of(scope: Construct, id: str, settings: Settings) -> kms.IKey | None:
    """Return the key that `id` is encrypted with; None means AWS's own key, which costs nothing."""
    return kms.Key.from_key_arn(scope, f"{id}Key", settings.kms_key_arn) if settings.kms_key_arn else None
