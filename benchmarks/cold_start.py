"""Cold start in instructions: import and first request of each API function, against a bare FastAPI + Mangum
hello world from the same bundle.  `python -m benchmarks.cold_start`

Instructions are counted by valgrind, so the load of the machine does not matter; two runs differ by a few
millionths. Each program runs from the unzipped bundle alone, with the byte code that ships in it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from cdk_app.bundle import build, local_target
from cdk_app.bundle_contents import CONTENTS

GOAL = 1.5
HELLO = """
from fastapi import FastAPI
from mangum import Mangum
app = FastAPI()
@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}
handler = Mangum(app, lifespan="off")
"""
# The first request of each function that needs no AWS call: what is measured is our code and its libraries.
REQUESTS = {
    "system": ("lambdas.system.handler", "/health", 200),
    "accounts": ("lambdas.accounts.handler", "/auth/me", 401),
    "datasets": ("lambdas.datasets.handler", "/datasets", 401),
    "models": ("lambdas.models.handler", "/ai-models/ada", 401),
    "jobs": ("lambdas.jobs.handler", "/jobs", 401),
    "endpoints": ("lambdas.endpoints.handler", "/endpoints", 401),
}
PROGRAM = """
import json, sys
sys.path.insert(0, {bundle!r})
{source}
answer = handler(json.loads({event!r}), None)
assert answer["statusCode"] == {status}, answer
"""


def main() -> int:
    """Print the figures as JSON; return 1 when the goal is missed."""
    if shutil.which("valgrind") is None:
        print(json.dumps({"cold_start": "not run", "why": "valgrind is not installed"}))
        return 0
    handlers = [f"{module}.handler" for module, _, _ in REQUESTS.values()]
    bundle = build(local_target(), CONTENTS["functions"], handlers)
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(bundle.path).extractall(folder)
        anchor = instructions(folder, HELLO, "/hello", 200)
        counts = {
            name: instructions(folder, f"from {module} import handler", path, status)
            for name, (module, path, status) in REQUESTS.items()
        }
    ratios = {name: round(count / anchor, 3) for name, count in counts.items()}
    figures = {"anchor_instructions": anchor, "ratio_to_bare_fastapi_and_mangum": ratios, "goal": GOAL}
    print(json.dumps({"cold_start": figures}, indent=1))
    return int(max(ratios.values()) > GOAL)


def instructions(bundle: str, source: str, path: str, status: int) -> int:
    """Return how many instructions a fresh process executes until its first answer."""
    program = PROGRAM.format(bundle=bundle, source=source, event=json.dumps(event(path)), status=status)
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    # The environment is bare: a fixed hash seed, and no bytecode written that another run would find.
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"AWS_REGION": "us-east-1", "POWERTOOLS_SERVICE_NAME": "bench", "STAGE": "bench"}
    run = subprocess.run(
        [*command, sys.executable, "-S", "-s", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(bundle),
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", run.stderr)
    assert found, run.stderr
    return int(found[1].replace(",", ""))


def event(path: str) -> dict[str, object]:
    """Return an API Gateway proxy event of a GET request without a token."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": {"Host": "localhost"},
        "multiValueHeaders": {"Host": ["localhost"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "requestContext": {"requestId": "00000000-0000-0000-0000-000000000000", "stage": "api", "authorizer": None},
        "body": None,
        "isBase64Encoded": False,
    }


if __name__ == "__main__":
    sys.exit(main())
