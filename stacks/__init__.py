"""What is deployed: `data` (tables, buckets, user pool; kept) and `platform` (all else)."""

import cdk_app  # noqa: F401  first of all, as it says which node aws_cdk starts
