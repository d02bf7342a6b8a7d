"""Lines of API Gateway's access log.  `pytest tests/units/test_access_log.py`"""

import json

from cdk_app.constructs.rest_api import ACCESS_LOG
from local.access_log import line, variables
from local.exchanges import Exchange


def exchange() -> Exchange:
    made = Exchange("abc", "POST", "/jobs/1", address="::1", received=1_800_000_000.0)
    made.route, made.claims = "/jobs/{proxy+}", {"cognito:username": 'a"b\\c', "sub": "1"}
    return made


def test_a_line_is_json_whatever_its_values_are():
    made = exchange()
    found = json.loads(line(json.dumps(ACCESS_LOG), made, 201))
    assert found["username"] == 'a"b\\c'
    assert (found["request_id"], found["time"]) == (made.id, "15/Jan/2027:08:00:00 +0000")
    assert (found["method"], found["route"], found["status"]) == ("POST", "/jobs/{proxy+}", "201")


def test_what_has_no_value_is_a_dash():
    assert (
        line("$context.error.responseType $context.nothing $context.integrationLatency.", exchange(), 200) == "- - -."
    )


def test_every_variable_of_our_format_is_known():
    known = variables(exchange(), 200).keys()
    assert {value.removeprefix("$context.") for value in ACCESS_LOG.values()} <= known
