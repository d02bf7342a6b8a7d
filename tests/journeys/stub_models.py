"""An image whose program does what its model's text says, and versions of such models in a running registry.

`good` answers with the version, `sick` answers 500, `broken` does not start, `slow` takes three seconds to.
"""

from __future__ import annotations

import io
import json
import secrets
import tarfile
from pathlib import Path
from typing import Any

from tests.journeys.conftest import functions
from tests.journeys.records import Records
from tests.platform import Platform

URI = "000000000000.dkr.ecr.us-east-1.amazonaws.com/stub:1"
SERVE = """
import http.server, json, os, pathlib, sys, time
version, kind = (pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"]) / "model/model.txt").read_text().split()
if kind == "broken":
    sys.exit("this model cannot be loaded")
if kind == "slow":
    time.sleep(3)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply(200, {})
    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(500 if kind == "sick" else 200, {"version": version, "bytes": size, "detail": "out of memory"})
    def reply(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128
Server(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def install(platform: Platform, folder: Path) -> None:
    """Let the platform know the image, as if it had been deployed with it."""
    family = folder / "stub"
    family.mkdir()
    (family / "serve").write_text(SERVE)
    (family / "requirements.txt").write_text("")
    (family / "Dockerfile").write_text("COPY stub /opt/program/training_containers/stub\n")
    deployed = platform.files.read("deployed.json") or {}
    deployed["images"] = deployed["images"] | {URI: {"directory": str(folder), "dockerfile": "stub/Dockerfile"}}
    platform.files.write("deployed.json", deployed)
    lambda_, name = platform.client("lambda"), functions(platform)["endpoints_deploy"]
    variables = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    variables["IMAGES"] = json.dumps(json.loads(variables["IMAGES"]) | {"stub": URI})
    lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def register(
    platform: Platform, like: dict[str, Any], kinds: list[str], owner: str | None = None, model_id: str | None = None
) -> str:
    """Register a model whose versions v1, v2 ... are of these kinds, made from a job's model; return its id.

    It belongs to the job's owner, and has a name that nobody has, unless a test says otherwise.
    """
    records, owner = Records(platform), owner or like["user_id"]
    model_id = model_id or f"stub-{secrets.token_hex(4)}"
    bucket, copied = platform.outputs["ModelsBucket"], ""
    for number, kind in enumerate(kinds, 1):
        version, archive = f"v{number}", f"{owner}/{model_id}/v{number}/model.tar.gz"
        platform.client("s3").put_object(Bucket=bucket, Key=archive, Body=archived(f"{version} {kind}"))
        changes = {"model_id": model_id, "version": version, "model_archive": archive, "image": "stub", "holds": None}
        copied = records.copy("models", like["user_id"], like["model"]["id"], owner=owner, **changes)
        records.write("models", owner=owner, id=f"name#{model_id}#{version}", target=copied)
    records.write("models", owner=owner, id=f"latest#{model_id}", target=copied, number=len(kinds))
    return model_id


def archived(text: str) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.txt")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return body.getvalue()
