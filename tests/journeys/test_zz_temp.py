"""temp"""
import pytest
from tests.journeys.test_roles import *
from tests.journeys.test_roles import world
NEW=["jobs: cloudwatch:GetMetricData on *","jobs: s3:GetObject on jobs-bucket/logs","jobs: logs:DescribeLogStreams on training-logs","jobs: logs:GetLogEvents on training-logs","jobs_register: cloudwatch:GetMetricData on *",
"jobs_control: dynamodb:UpdateItem on jobs-table","jobs_control: s3:PutObject on jobs-bucket/logs","jobs_control: logs:DescribeLogStreams on training-logs","jobs_control: logs:GetLogEvents on training-logs","jobs_control: dynamodb:Query on jobs-table",
"jobs_watch: logs:DescribeLogStreams on training-logs","jobs_watch: logs:GetLogEvents on training-logs",
"jobs_progress: dynamodb:BatchGetItem on jobs-table","jobs_progress: dynamodb:PutItem on jobs-table","jobs_progress: dynamodb:UpdateItem on jobs-table","jobs_progress: dynamodb:GetItem on jobs-table"]
del TestSome
for n in list(globals()):
    if n.startswith("Test") or n.startswith("test_"): del globals()[n]
@pytest.mark.parametrize("name", NEW)
def test_new(name, world):
    (p,)=[f for f in permissions() if str(f)==name]
    assert goes_red_without(p, world)
