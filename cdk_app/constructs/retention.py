"""What becomes of data when the stack that made it goes."""

import aws_cdk as cdk

from cdk_app.settings import Settings


def removal_policy(settings: Settings) -> cdk.RemovalPolicy:
    """Keep data where the stage's settings say so, but not the empty remains of a first deployment that failed."""
    keep = cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
    return keep if settings.retain_data else cdk.RemovalPolicy.DESTROY
