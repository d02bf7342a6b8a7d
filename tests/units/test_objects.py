"""Deleting a record's objects.  `pytest tests/units/test_objects.py`"""

import boto3
import pytest
from botocore.stub import Stubber

from lambdas.common import aws
from lambdas.common.objects import NotDeleted, delete_prefix


def test_objects_that_s3_refuses_to_delete_are_not_taken_for_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    monkeypatch.setattr(aws, "client", lambda service: s3)
    keys = [{"Key": "ada/job/a"}, {"Key": "ada/job/b"}]
    wanted = {"Bucket": "jobs", "Delete": {"Objects": keys, "Quiet": True}}
    with Stubber(s3) as stub:
        stub.add_response("list_objects_v2", {"Contents": keys}, {"Bucket": "jobs", "Prefix": "ada/job/"})
        stub.add_response("delete_objects", {"Errors": [{"Key": "ada/job/b", "Code": "AccessDenied"}]}, wanted)
        with pytest.raises(NotDeleted, match=r"1 objects under ada/job/ remain.*AccessDenied"):
            delete_prefix("jobs", "ada/job/")
        stub.assert_no_pending_responses()
