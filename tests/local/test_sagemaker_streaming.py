"""Streamed answers of the local SageMaker: each piece passes while the container still makes the next.

`pytest tests/local/test_sagemaker_streaming.py`. The container here goes on only when it is told to, by a file: what
a client has received before that was not kept back by anybody on the way.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError, EventStreamError

from tests.local.services import ROLE, Services, alive, until
from tests.local.test_sagemaker_endpoints import archive, settled

SERVE = """
import http.server, json, os, pathlib, time
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("bad"):
            self.send_response(400); self.send_header("Content-Length", "6"); self.end_headers()
            return self.wfile.write(b"sorry!")
        self.send_response(200)
        for name, value in {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for number in range(asked["pieces"]):
                if number == asked.get("wait_before"):
                    while not pathlib.Path(asked["gate"]).exists():
                        time.sleep(0.01)
                if number == asked.get("break_before"):
                    return self.connection.shutdown(2)
                piece = f"{self.path} {number};".encode()
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                self.wfile.flush()
                if asked.get("endless"):
                    time.sleep(0.01)
            self.wfile.write(b"0\\r\\n\\r\\n")
        except OSError:
            pathlib.Path(asked["gate"]).write_text(str(number))
    def log_message(self, *args):
        pass
address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def endpoint(services: Services) -> str:
    data = services.put("models/streaming/model.tar.gz", archive({"model.txt": "x"}))
    container = {"Image": services.image("streamer", serve=SERVE), "ModelDataUrl": data}
    services.sagemaker.create_model(ModelName="streaming", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {
        "VariantName": "main",
        "ModelName": "streaming",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    services.sagemaker.create_endpoint_config(EndpointConfigName="streaming", ProductionVariants=[variant])
    services.sagemaker.create_endpoint(EndpointName="streaming", EndpointConfigName="streaming")
    assert settled(services, "streaming")["EndpointStatus"] == "InService"
    return "streaming"


def invoke(services: Services, endpoint: str, **asked: Any) -> Any:
    return services.runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, Body=json.dumps(asked), ContentType="application/json", Accept="text/event-stream"
    )


def chat(services: Services, endpoint: str, **asked: Any) -> requests.Response:
    return requests.post(
        f"{services.url}/endpoints/{endpoint}/openai/v1/chat/completions", json=asked, stream=True, timeout=30
    )


def text(stream: Any) -> str:
    return b"".join(event["PayloadPart"]["Bytes"] for event in stream).decode()


def test_boto3_reads_the_pieces_while_the_container_waits_to_make_the_rest(
    services: Services, endpoint: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    answer = invoke(services, endpoint, pieces=5, wait_before=3, gate=str(gate))
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/event-stream", "main")
    events = iter(answer["Body"])
    received = ""
    while received.count(";") < 3:
        received += next(events)["PayloadPart"]["Bytes"].decode()
    gate.touch()  # only now is the fourth made
    received += text(events)
    assert received == "".join(f"/invocations {number};" for number in range(5))


def test_an_openai_client_reads_the_pieces_while_the_container_waits_to_make_the_rest(
    services: Services, endpoint: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with chat(services, endpoint, pieces=5, wait_before=3, gate=str(gate)) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        pieces = answer.iter_content(None)
        received = b""
        while received.count(b";") < 3:
            received += next(pieces)
        gate.touch()
        received += b"".join(pieces)
    assert received.decode() == "".join(f"/v1/chat/completions {number};" for number in range(5))


def test_a_client_that_leaves_ends_the_containers_work(services: Services, endpoint: str, tmp_path: Path) -> None:
    gate = tmp_path / "ended"
    with chat(services, endpoint, pieces=100_000, endless=True, gate=str(gate)) as answer:
        next(answer.iter_content(None))
    until(gate.exists, bool)
    assert int(gate.read_text()) < 100_000


def test_an_error_before_the_first_piece_is_the_models_error(services: Services, endpoint: str) -> None:
    with pytest.raises(ClientError) as failed:
        invoke(services, endpoint, bad=True)
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert failed.value.response["OriginalStatusCode"] == 400
    with chat(services, endpoint, bad=True) as answer:
        assert (answer.status_code, answer.content) == (400, b"sorry!")


def test_an_error_in_the_middle_ends_the_stream_with_it(services: Services, endpoint: str) -> None:
    stream = invoke(services, endpoint, pieces=5, break_before=2)["Body"]
    received = []
    with pytest.raises(EventStreamError, match="ModelStreamError"):
        for event in stream:
            received.append(event["PayloadPart"]["Bytes"])
    stream.close()
    assert b"".join(received) == b"/invocations 0;/invocations 1;"


def test_an_endpoint_is_deleted_once_its_streams_have_ended(services: Services, endpoint: str, tmp_path: Path) -> None:
    (process,) = services.sagemaker_service._endpoints.store.get(endpoint)["processes"]  # type: ignore[index]
    gate = tmp_path / "gate"
    answer = invoke(services, endpoint, pieces=2, wait_before=1, gate=str(gate))
    services.sagemaker.delete_endpoint(EndpointName=endpoint)
    events = iter(answer["Body"])
    next(events)
    gate.touch()
    assert text(events) == "/invocations 1;"
    until(lambda: alive(process["pid"]), lambda running: not running)
