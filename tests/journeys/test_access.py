"""Who may do what: every route, asked by everybody, through the front door.  `pytest tests/journeys/test_access.py`"""

from __future__ import annotations

import base64
import io
import json
import secrets
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from local.api_client import ApiClient
from local.demo import to_csv
from local.home import REPOSITORY
from tests.hub import Hub, HubRepository
from tests.journeys.conftest import PARAMETERS, PASSWORD, train, upload
from tests.journeys.records import Records, copy_unservable_model
from tests.platform import Platform
from tests.script_zips import packed

OPENAPI = json.loads((REPOSITORY / "openapi.json").read_text())
OPERATIONS = {f"{method.upper()} {path}" for path, methods in OPENAPI["paths"].items() for method in methods}

# What everybody is answered. The owner is a member like another; what paths and bodies name is the owner's.
PRINCIPALS = ("no token", "bad token", "viewer", "owner", "another member", "admin")
MATRIX = {
    "POST /auth/register": (201, 201, 201, 201, 201, 201),
    "POST /auth/confirm": (200, 200, 200, 200, 200, 200),
    "POST /auth/login": (200, 200, 200, 200, 200, 200),
    "POST /auth/refresh": (200, 200, 200, 200, 200, 200),
    "POST /auth/logout": (204, 204, 204, 204, 204, 204),
    "POST /auth/forgot-password": (202, 202, 202, 202, 202, 202),
    "POST /auth/reset-password": (400, 400, 400, 400, 400, 400),  # the code is wrong
    "GET /auth/me": (401, 401, 200, 200, 200, 200),
    "PATCH /auth/me": (401, 401, 200, 200, 200, 200),
    "DELETE /auth/me": (401, 401, 204, 204, 204, 204),
    "GET /auth/users": (401, 401, 403, 403, 403, 200),
    "PATCH /auth/users/{username}": (401, 401, 403, 403, 403, 200),
    "POST /datasets": (401, 401, 403, 201, 201, 201),
    "POST /datasets/bulk": (401, 401, 403, 200, 200, 200),
    "GET /datasets": (401, 401, 200, 200, 200, 200),
    "GET /datasets/storage": (401, 401, 200, 200, 200, 200),
    "GET /datasets/{id}": (401, 401, 404, 200, 404, 200),
    "PATCH /datasets/{id}": (401, 401, 403, 200, 404, 200),
    "DELETE /datasets/{id}": (401, 401, 403, 204, 404, 204),
    "GET /datasets/{id}/upload": (401, 401, 403, 200, 404, 200),
    "POST /datasets/{id}/complete": (401, 401, 403, 202, 404, 202),
    "GET /datasets/{id}/download": (401, 401, 404, 200, 404, 200),
    "GET /datasets/{id}/preview": (401, 401, 404, 200, 404, 200),
    "GET /datasets/{id}/profile": (401, 401, 404, 200, 404, 200),
    "GET /datasets/{id}/readiness": (401, 401, 404, 200, 404, 200),
    "GET /datasets/{id}/versions": (401, 401, 404, 200, 404, 200),
    "POST /datasets/{id}/versions": (401, 401, 403, 201, 404, 201),
    "POST /ai-models/upload/single": (401, 401, 403, 200, 404, 200),
    "POST /ai-models/upload/folder": (401, 401, 403, 200, 404, 200),
    "POST /ai-models/uploads": (401, 401, 403, 201, 404, 201),
    "GET /ai-models/uploads/{id}": (401, 401, 403, 200, 404, 200),
    "POST /ai-models/uploads/{id}/complete": (401, 401, 403, 202, 404, 202),
    "POST /ai-models/imports": (401, 401, 403, 201, 404, 201),
    "GET /ai-models/compare": (401, 401, 404, 200, 404, 200),
    "GET /ai-models/search/{user_id}": (401, 401, 200, 200, 200, 200),
    "GET /ai-models/{user_id}": (401, 401, 200, 200, 200, 200),
    "GET /ai-models/{user_id}/{model_id}": (401, 401, 404, 200, 404, 200),
    "PUT /ai-models/{user_id}/{model_id}": (401, 401, 403, 200, 404, 200),
    "DELETE /ai-models/{user_id}/{model_id}": (401, 401, 403, 204, 404, 204),
    "GET /ai-models/{user_id}/{model_id}/files": (401, 401, 404, 200, 404, 200),
    "GET /ai-models/{user_id}/{model_id}/download": (401, 401, 404, 200, 404, 200),
    "GET /ai-models/{user_id}/{model_id}/versions": (401, 401, 404, 200, 404, 200),
    "GET /ai-models/{user_id}/{model_id}/lineage": (401, 401, 404, 200, 404, 200),
    "PUT /ai-models/{user_id}/{model_id}/aliases/{alias}": (401, 401, 403, 200, 404, 200),
    "DELETE /ai-models/{user_id}/{model_id}/aliases/{alias}": (401, 401, 403, 204, 404, 204),
    "POST /jobs": (401, 401, 403, 201, 404, 201),
    "GET /jobs": (401, 401, 200, 200, 200, 200),
    "POST /jobs/batch": (401, 401, 403, 200, 200, 200),
    "POST /jobs/evaluations": (401, 401, 403, 201, 404, 201),
    "POST /jobs/evaluations/schedules": (401, 401, 403, 201, 404, 404),  # it would act as its owner, not as an admin
    "GET /jobs/evaluations/schedules": (401, 401, 200, 200, 200, 200),
    "GET /jobs/evaluations/schedules/{id}": (401, 401, 404, 200, 404, 200),
    "PATCH /jobs/evaluations/schedules/{id}": (401, 401, 403, 200, 404, 200),
    "POST /jobs/evaluations/schedules/{id}/pause": (401, 401, 403, 200, 404, 200),
    "POST /jobs/evaluations/schedules/{id}/resume": (401, 401, 403, 200, 404, 200),
    "DELETE /jobs/evaluations/schedules/{id}": (401, 401, 403, 204, 404, 204),
    "GET /jobs/queue": (401, 401, 200, 200, 200, 200),
    "GET /jobs/usage": (401, 401, 200, 200, 200, 200),
    "GET /training-types": (401, 401, 200, 200, 200, 200),
    "POST /jobs/scripts": (401, 401, 403, 201, 201, 201),
    "GET /jobs/scripts": (401, 401, 200, 200, 200, 200),
    "GET /jobs/scripts/{id}/upload": (401, 401, 403, 200, 404, 200),
    "POST /jobs/scripts/{id}/complete": (401, 401, 403, 200, 404, 200),
    "DELETE /jobs/scripts/{id}": (401, 401, 403, 204, 404, 204),
    "GET /jobs/{id}": (401, 401, 404, 200, 404, 200),
    "PATCH /jobs/{id}": (401, 401, 403, 200, 404, 200),
    "DELETE /jobs/{id}": (401, 401, 403, 204, 404, 204),
    "GET /jobs/{id}/capsule": (401, 401, 404, 200, 404, 200),
    "GET /jobs/{id}/logs": (401, 401, 404, 200, 404, 200),
    "GET /jobs/{id}/logs/download": (401, 401, 404, 202, 404, 202),  # until the control task has made it
    "GET /jobs/{id}/metrics": (401, 401, 404, 200, 404, 200),
    "POST /jobs/{id}/start": (401, 401, 403, 409, 404, 409),  # it has ended
    "POST /jobs/{id}/stop": (401, 401, 403, 409, 404, 409),  # it has ended
    "POST /jobs/{id}/rerun": (401, 401, 403, 201, 404, 201),
    "POST /register": (401, 401, 403, 201, 404, 201),
    "POST /endpoints": (401, 401, 403, 201, 404, 201),
    "GET /endpoints": (401, 401, 200, 200, 200, 200),
    "GET /endpoints/{id}": (401, 401, 404, 200, 404, 200),
    "PATCH /endpoints/{id}": (401, 401, 403, 200, 404, 200),
    "DELETE /endpoints/{id}": (401, 401, 403, 202, 404, 202),
    "POST /endpoints/{id}/invoke": (401, 401, 403, 200, 404, 200),
    "POST /endpoints/{id}/token": (401, 401, 403, 201, 404, 201),
    "POST /endpoints/{id}/inferences": (401, 401, 403, 400, 404, 400),  # it answers at once
    "GET /endpoints/{id}/inferences/{inference_id}": (401, 401, 404, 400, 404, 400),
    "POST /endpoints/{id}/inferences/{inference_id}/start": (401, 401, 403, 400, 404, 400),
    "PUT /endpoints/{id}/lease": (401, 401, 403, 200, 404, 200),
    "POST /endpoints/{id}/sleep": (401, 401, 403, 202, 404, 202),
    "POST /endpoints/{id}/wake": (401, 401, 403, 202, 404, 202),
    "GET /endpoints/{id}/metrics": (401, 401, 404, 200, 404, 200),
    "GET /endpoints/{id}/logs": (401, 401, 404, 200, 404, 200),
    "GET /stats/models": (401, 401, 200, 200, 200, 200),
    "GET /stats/contributions": (401, 401, 200, 200, 200, 200),
    "GET /dashboard": (401, 401, 200, 200, 200, 200),
    "GET /metrics": (401, 401, 401, 401, 401, 401),  # this stage has a client for it, whose tokens have the scope
    "GET /health": (200, 200, 200, 200, 200, 200),
    "GET /docs": (200, 200, 200, 200, 200, 200),
    "GET /openapi.json": (200, 200, 200, 200, 200, 200),
}
SCRIPT = packed({"train.py": ""})
CONFIG = b'{"layers": 3}'
IMPORTED = "acme/matrix"
FILES = [{"filename": "config.json", "size": len(CONFIG)}]
SELDOM = "cron(0 0 29 2 ? *)"
GROUPS = {"viewer": "viewer", "owner": None, "another member": None, "admin": "admin"}


class Estate:
    """What the owner has, and what each request of the matrix says."""

    def __init__(
        self, platform: Platform, owner: ApiClient, rows: list[dict[str, Any]], job: dict[str, Any], endpoint: str
    ) -> None:
        assert owner.username
        self.owner, self.user_id, self.job, self.endpoint = owner, owner.username, job, endpoint
        self.records = Records(platform)
        self.instance = {name: value for name, value in rows[0].items() if name != PARAMETERS["target"]}
        self.content = to_csv(rows[:50])
        self.dataset = upload(owner, rows[:50])
        self.unfinished = self.new_dataset(upload=False)
        self.model = job["model"]["model_id"]
        self.reference = f"{self.user_id}/{self.model}@{job['model']['version']}"
        self.unfinished_model = self.new_model(upload=False)["id"]
        self.unfinished_script = owner.call("POST", "/jobs/scripts", {"name": "Mine", "size": len(SCRIPT)})["id"]
        self.unservable = f"gone-{secrets.token_hex(4)}"
        copy_unservable_model(self.records, self.user_id, job["model"]["id"], self.unservable)
        self.schedule = self.new_schedule()

    def path(self, operation: str) -> str:
        """Return the path of an operation, which names something of the owner's."""
        path = operation.split()[1]
        noun = path.split("/")[1]
        shared = {
            "datasets": self.dataset["id"],
            "jobs": self.job["id"],
            "endpoints": self.endpoint,
            "auth": None,
        }
        # What the request changes for good is made for it alone, so that every principal finds the same.
        own: dict[str, Callable[[], str]] = {
            "GET /ai-models/uploads/{id}": lambda: self.unfinished_model,
            "POST /ai-models/uploads/{id}/complete": lambda: self.new_model(upload=True)["id"],
            "GET /datasets/{id}/upload": lambda: self.unfinished,
            "POST /datasets/{id}/complete": lambda: self.new_dataset(upload=True),
            "DELETE /datasets/{id}": lambda: self.new_dataset(upload=False),
            "POST /datasets/{id}/versions": lambda: self.unfinished,
            "GET /jobs/scripts/{id}/upload": lambda: self.unfinished_script,
            **{operation: lambda: self.schedule for operation in MATRIX if "/schedules/{id}" in operation},
            "DELETE /jobs/evaluations/schedules/{id}": self.new_schedule,
            "POST /jobs/scripts/{id}/complete": self.new_script,
            "DELETE /jobs/scripts/{id}": self.new_script,
            "DELETE /jobs/{id}": lambda: self.records.copy("jobs", self.user_id, self.job["id"]),
            "POST /endpoints/{id}/sleep": lambda: self.records.copy(
                "endpoints", self.user_id, self.endpoint, status="sleeping"
            ),
            "DELETE /endpoints/{id}": lambda: self.records.copy(
                "endpoints",
                self.user_id,
                self.endpoint,
                status="failed",
                holds_model=False,
                endpoint_name="slipway-local-none",
            ),
        }
        id = own[operation]() if operation in own else shared.get(noun)
        goes = operation == "DELETE /ai-models/{user_id}/{model_id}"
        names = {"id": id, "user_id": self.user_id, "alias": "champion", "username": self.user_id}
        names["inference_id"] = f"inf-{'0' * 19}"
        path = path.format(**names, model_id=self.new_model(upload=False)["model_id"] if goes else self.model)
        queries = {
            f"/ai-models/{self.user_id}/{self.model}/download": "?filename=model.tar.gz",
            "/ai-models/compare": f"?models={self.reference},{self.reference}",
        }
        return path + queries.get(path, "")

    def body(self, operation: str) -> dict[str, Any] | None:
        """Return the body of an operation's request, valid for whoever may send it."""
        stranger = f"user-{secrets.token_hex(4)}"
        who = {"username": self.user_id}
        bodies: dict[str, Callable[[], dict[str, Any]]] = {
            "POST /auth/register": lambda: {
                "username": stranger,
                "email": f"{stranger}@example.com",
                "password": PASSWORD,
            },
            "POST /auth/confirm": lambda: who,
            "POST /auth/login": lambda: who | {"password": PASSWORD},
            "POST /auth/refresh": lambda: {"refresh_token": self.refresh_token()},
            "POST /auth/logout": lambda: {"refresh_token": self.refresh_token()},
            "POST /auth/forgot-password": lambda: who,
            "POST /auth/reset-password": lambda: who | {"code": "000000", "new_password": PASSWORD},
            "PATCH /auth/me": lambda: {"full_name": "Somebody"},
            "PATCH /auth/users/{username}": lambda: {"enabled": True},
            "POST /datasets": lambda: new_dataset(len(self.content)),
            "POST /datasets/bulk": lambda: {"datasets": [new_dataset(len(self.content))]},
            "PATCH /datasets/{id}": lambda: {"description": "Changed."},
            "POST /datasets/{id}/versions": lambda: new_version(len(self.content)),
            "POST /ai-models/uploads": lambda: new_model() | {"user_id": self.user_id, "files": FILES},
            "POST /ai-models/imports": lambda: {"user_id": self.user_id, "repo_id": IMPORTED},
            "PUT /ai-models/{user_id}/{model_id}": lambda: {"change_note": "Changed."},
            "PUT /ai-models/{user_id}/{model_id}/aliases/{alias}": lambda: {"version": self.job["model"]["version"]},
            "POST /jobs": lambda: {"name": "Asked", "dataset_id": self.dataset["id"], "parameters": PARAMETERS},
            "POST /jobs/batch": lambda: {"jobs": [{"name": "Asked", "dataset_id": f"ds-{'0' * 19}"}]},
            "POST /jobs/evaluations": lambda: {
                "name": "Asked",
                "model": {"user_id": self.user_id, "model_id": self.model},
                "dataset_id": self.dataset["id"],
            },
            "POST /jobs/evaluations/schedules": self.repeated,
            "PATCH /jobs/evaluations/schedules/{id}": lambda: {"name": "Changed"},
            "PATCH /jobs/{id}": lambda: {"name": "Changed"},
            "POST /jobs/scripts": lambda: {"name": "Asked", "size": len(SCRIPT)},
            "POST /register": lambda: {
                "name": "Asked",
                "model": {"user_id": self.user_id, "model_id": self.unservable},
                "deploy": False,
            },
            "POST /endpoints": lambda: {
                "name": "Asked",
                "model": {"user_id": self.user_id, "model_id": self.unservable},
            },
            "PATCH /endpoints/{id}": lambda: {"name": "Changed"},
            "PUT /endpoints/{id}/lease": lambda: {"hours": 24},
            "POST /endpoints/{id}/invoke": lambda: {"instances": [self.instance]},
            "POST /endpoints/{id}/inferences": lambda: {"size": 1},
        }
        if operation == "DELETE /ai-models/{user_id}/{model_id}/aliases/{alias}":
            self.owner.call("PUT", self.path(operation), bodies[operation.replace("DELETE", "PUT")]())
            return None
        return bodies[operation]() if operation in bodies else None

    def form(self, operation: str) -> dict[str, Any]:
        """Return the form of an operation that takes one."""
        files = {
            "POST /ai-models/upload/single": {"file": ("config.json", CONFIG)},
            "POST /ai-models/upload/folder": {"zip_file": ("model.zip", zip_of("config.json", CONFIG))},
        }
        fields = new_model() | {"user_id": self.user_id, "version": "auto"}
        return {"files": files[operation], "data": fields} if operation in files else {}

    def new_dataset(self, upload: bool) -> str:
        """Begin a data set of the owner, with its bytes if wanted; return its id."""
        dataset = self.owner.call("POST", "/datasets", new_dataset(len(self.content)))
        if upload:
            self.owner.upload_parts(self.content, dataset["uploads"]["rows.csv"])
        return dataset["id"]

    def new_model(self, upload: bool) -> dict[str, Any]:
        """Begin a model version of the owner, with its bytes if wanted; return it, `uploading`."""
        started = self.owner.call("POST", "/ai-models/uploads", new_model() | {"files": FILES})
        if upload:
            self.owner.upload_parts(CONFIG, started["uploads"]["config.json"])
        return started["model"]

    def new_script(self) -> str:
        """Begin a script of the owner, with its bytes; return its id."""
        script = self.owner.call("POST", "/jobs/scripts", {"name": "Mine", "size": len(SCRIPT)})
        self.owner.upload_parts(SCRIPT, script["upload"])
        return script["id"]

    def repeated(self) -> dict[str, Any]:
        """Return the body that makes a schedule."""
        model = {"user_id": self.user_id, "model_id": self.model}
        return {"name": "Asked", "model": model, "dataset_id": self.dataset["id"], "schedule": SELDOM}

    def new_schedule(self) -> str:
        """Make a schedule of the owner's; return its id."""
        return self.owner.call("POST", "/jobs/evaluations/schedules", self.repeated())["id"]

    def refresh_token(self) -> str:
        """Return a refresh token of a session of its own."""
        return tokens(self.owner)["refresh_token"]


def new_dataset(size: int) -> dict[str, Any]:
    return {"name": "Rows", "type": "tabular", "format": "csv"} | new_version(size)


def new_version(size: int) -> dict[str, Any]:
    return {"files": [{"filename": "rows.csv", "size": size}]}


def new_model() -> dict[str, Any]:
    return {"model_id": f"model-{secrets.token_hex(4)}", "name": "Model"}


def zip_of(name: str, content: bytes) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr(name, content)
    return body.getvalue()


def tokens(user: ApiClient) -> dict[str, str]:
    """Return the tokens of a new session."""
    return user.call("POST", "/auth/login", {"username": user.username, "password": PASSWORD})


@pytest.fixture(scope="module")
def estate(
    platform: Platform, new_user: Callable[..., ApiClient], rows: list[dict[str, Any]], hub: Hub
) -> Iterator[Estate]:
    """The data set, ended job, model, and endpoint in service of somebody whom no other journey knows."""
    hub.repositories[IMPORTED] = HubRepository({"config.json": CONFIG, "model.safetensors": b"never read"})
    owner = new_user()
    job = train(owner, upload(owner, rows))
    model = {"model_id": job["model"]["model_id"], "version": job["model"]["version"]}
    endpoint = owner.call("POST", "/endpoints", {"name": "Matrix", "model": model})
    path = f"/endpoints/{endpoint['id']}"
    assert owner.wait(path, "in_service", "failed")["status"] == "in_service"
    yield Estate(platform, owner, rows, job, endpoint["id"])
    owner.call("DELETE", path)


@pytest.fixture(scope="module")
def principals(
    platform: Platform, estate: Estate, new_user: Callable[..., ApiClient]
) -> dict[str, Callable[[str], ApiClient]]:
    """Principal -> what gives their client for an operation."""
    users = {name: estate.owner if name == "owner" else new_user(group) for name, group in GROUPS.items()}
    users["no token"] = ApiClient(platform.api_url)
    users["bad token"] = ApiClient(platform.api_url, forged(id_token(estate.owner)))

    def client(name: str) -> Callable[[str], ApiClient]:
        def of(operation: str) -> ApiClient:
            # Who deletes their account must own nothing, and is not here for the next row.
            gives_up = operation == "DELETE /auth/me" and name in GROUPS
            return new_user(GROUPS[name]) if gives_up else users[name]

        return of

    return {name: client(name) for name in PRINCIPALS}


def id_token(user: ApiClient) -> str:
    return str(user.session.headers["Authorization"]).removeprefix("Bearer ")


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(token: str) -> str:
    """Return a token with the same words, signed by somebody else."""
    signed = token.rpartition(".")[0]
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return f"{signed}.{encoded(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def unsigned(token: str) -> str:
    """Return a token with the same words that says it needs no signature."""
    header = encoded(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{token.split('.')[1]}."


def altered(token: str, **claims: Any) -> str:
    """Return a token with other claims under the signature of the first ones."""
    header, payload, signature = token.split(".")
    words = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) | claims
    return f"{header}.{encoded(json.dumps(words).encode())}.{signature}"


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert set(MATRIX) == OPERATIONS


@pytest.mark.parametrize("operation", MATRIX)
def test_matrix(operation: str, estate: Estate, principals: dict[str, Callable[[str], ApiClient]]) -> None:
    method = operation.split()[0]
    answers = {}
    for name in PRINCIPALS:
        client = principals[name](operation)
        path, body = estate.path(operation), estate.body(operation)
        response = client.request(method, path, json=body, allow_redirects=False, **estate.form(operation))
        answers[name] = response.status_code
        if response.status_code >= 400:
            assert set(response.json()) >= {"detail", "code", "request_id"}, response.text
        if operation in ("POST /jobs", "POST /jobs/evaluations", "POST /jobs/{id}/rerun") and response.ok:
            client.call("POST", f"/jobs/{response.json()['id']}/stop")  # only the permission to train is of interest
    assert answers == dict(zip(PRINCIPALS, MATRIX[operation], strict=True))


@pytest.mark.parametrize("make", [forged, unsigned, lambda token: altered(token, **{"cognito:groups": ["admin"]})])
def test_a_token_that_cognito_did_not_sign_is_refused(member: ApiClient, make: Callable[[str], str]) -> None:
    assert ApiClient(member.api_url, make(id_token(member))).request("GET", "/jobs").status_code == 401


def test_an_access_token_does_not_stand_for_an_id_token(member: ApiClient) -> None:
    access = ApiClient(member.api_url, tokens(member)["access_token"])
    assert {access.request("GET", path).status_code for path in ("/jobs", "/auth/me", "/datasets")} == {401}


def test_a_shared_data_set_is_read_by_others_and_never_written(estate: Estate, new_user: Callable[..., ApiClient]):
    path = f"/datasets/{estate.dataset['id']}"
    for other, refusal in ((new_user(), 404), (new_user("viewer"), 403)):
        estate.owner.call("PATCH", path, {"visibility": "shared"})
        try:
            reads = ("", "/preview", "/profile", "/download")
            assert {other.request("GET", path + read).status_code for read in reads} == {200}
            listed = other.call("GET", f"/datasets?user_id={estate.user_id}")["items"]
            assert [found["id"] for found in listed] == [estate.dataset["id"]]
            writes = (("PATCH", "", {"name": "Mine"}), ("DELETE", "", None), ("POST", "/complete", None))
            assert {other.request(m, path + p, json=body).status_code for m, p, body in writes} == {refusal}
        finally:
            estate.owner.call("PATCH", path, {"visibility": "private"})
        assert other.request("GET", path).status_code == 404


def test_a_shared_model_is_read_by_others_and_never_written(estate: Estate, new_user: Callable[..., ApiClient]):
    model = estate.job["model"]
    path = f"/ai-models/{estate.user_id}/{model['model_id']}"
    for other, refusal in ((new_user(), 404), (new_user("viewer"), 403)):
        estate.owner.call("PUT", path, {"visibility": "shared"})
        try:
            assert other.call("GET", path)["id"] == model["id"]
            for listed in (f"/ai-models/{estate.user_id}", f"/ai-models/search/{estate.user_id}"):
                assert [found["id"] for found in other.call("GET", listed)["items"]] == [model["id"]]
            reads = ("/files", "/versions", "/lineage", "/download", "/download?filename=metrics.json")
            assert {other.request("GET", path + read).status_code for read in reads} == {200}
            writes = (("PUT", "", {"name": "Mine"}), ("DELETE", "", None), ("DELETE", "/aliases/mine", None))
            writes += (("PUT", "/aliases/mine", {"version": model["version"]}),)
            assert {other.request(m, path + p, json=body).status_code for m, p, body in writes} == {refusal}
        finally:
            estate.owner.call("PUT", path, {"visibility": "private"})
        assert other.request("GET", path).status_code == 404


def test_naming_another_owner_in_a_path_opens_nothing(estate: Estate, new_user: Callable[..., ApiClient]):
    """A model of the same name under one's own name does not lend its permission to the other's."""
    other, model_id = new_user(), estate.job["model"]["model_id"]
    assert other.call("GET", f"/ai-models/{estate.user_id}")["items"] == []
    for path in (f"{other.username}/{model_id}", f"{estate.user_id}/{model_id}", f"{estate.user_id}%2F{model_id}"):
        assert other.request("GET", f"/ai-models/{path}/files").status_code == 404
    assert other.request("GET", f"/datasets?user_id={estate.user_id}").json()["items"] == []
    body = {"name": "Theirs", "model": {"model_id": model_id, "user_id": estate.user_id}}
    assert other.request("POST", "/endpoints", json=body).status_code == 404
