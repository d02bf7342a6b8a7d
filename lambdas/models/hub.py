"""The Hugging Face Hub: what a repository holds at a revision, which of it is imported, and the bytes of its files.

The routes are those of the Hub's own client: `GET /api/models/{repo}/revision/{revision}?blobs=true` and
`GET /{repo}/resolve/{commit}/{file}`, which may redirect to where the bytes are.
"""

import re
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

import urllib3
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from urllib3.exceptions import HTTPError

from lambdas.common.environment import optional
from lambdas.common.errors import BadRequest, Unavailable
from lambdas.models.schemas import ModelType

WEIGHTS = ".safetensors"
BESIDE = {".json", ".txt", ".model", ".md", ".jinja"}
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack"}
OTHER_FORMATS = {"original", "onnx", "openvino", "coreml", "flax"}  # the same weights again, for other programs
NAMED_LICENSES = ("license", "notice", "use_policy")
# `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`: other precisions of `model`.
VARIANT = re.compile(r"(?P<stem>[^.]+)\.[a-z0-9_]+(-\d{5}-of-\d{5})?\.safetensors")
TRIES = 3  # at one part of a file, of which there may be thousands


class HubRefused(Exception):
    """The Hub does not have, or does not give, what an import needs; trying again would not help."""


class Blob(BaseModel):
    """Where a large file's bytes are."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int


class HubFile(BaseModel):
    """One file of a repository; its size is None for what the Hub does not say."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    filename: str = Field(alias="rfilename")
    size: int | None = None
    blob_id: str | None = Field(default=None, alias="blobId", pattern=r"^[0-9a-f]{40}$")
    lfs: Blob | None = None

    @property
    def hash(self) -> str | None:
        """What its bytes must hash to: `sha256:` of a large file, `git:` as Git names the content of a small one."""
        if self.lfs:
            return f"sha256:{self.lfs.sha256}"
        return f"git:{self.blob_id}" if self.blob_id else None


class Repository(BaseModel):
    """A repository at one commit, as the Hub describes it."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    id: str
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")
    gated: Literal["auto", "manual", False] | None = None
    pipeline_tag: str | None = None
    tags: list[str] = Field(default_factory=list)
    card: dict[str, Any] | None = Field(default=None, alias="cardData")
    siblings: list[HubFile] = Field(default_factory=list)

    @property
    def license(self) -> str | None:
        """The licence that its card names, by the Hub's identifier where it has one."""
        card = self.card or {}
        named = card.get("license_name") if card.get("license") == "other" else card.get("license")
        if isinstance(named, list):
            named = ", ".join(map(str, named))
        tagged = next((tag.removeprefix("license:") for tag in self.tags if tag.startswith("license:")), None)
        return (str(named) if named else tagged or "")[:200] or None

    @property
    def model_type(self) -> ModelType:
        """The registry's type for what the Hub says that the model does."""
        task = self.pipeline_tag or ""
        if "image" in task or task in {"object-detection", "depth-estimation", "mask-generation", "text-to-video"}:
            return "computer_vision"
        if task.startswith("text") or task in {
            *("fill-mask", "token-classification", "question-answering", "summarization", "translation"),
            *("feature-extraction", "sentence-similarity", "zero-shot-classification"),
        }:
            return "nlp"
        return "other"


def wanted_files(repository: Repository) -> list[HubFile]:
    """Return what is imported of a repository: weights in SafeTensors, and the text files that say how to use them.

    Pickles and programs are left out, and so is what holds the same weights again. Raises BadRequest when no weights
    remain.
    """
    names = {file.filename for file in repository.siblings}
    is_pipeline = "model_index.json" in names  # whose parts lie in folders; a file beside them holds all parts again
    chosen = [file for file in repository.siblings if is_wanted(PurePosixPath(file.filename), names, is_pipeline)]
    if not any(file.filename.endswith(WEIGHTS) for file in chosen):
        pickles = sorted(name for name in names if PurePosixPath(name).suffix in PICKLES)
        found = f"only {pickles[0]}, which could run a program when it is read" if pickles else "none at all"
        raise refused("repo_id", f"{repository.id} has no weights in SafeTensors, {found}; convert them first")
    return chosen


def is_wanted(path: PurePosixPath, names: set[str], is_pipeline: bool) -> bool:
    """Return whether a file of these names is imported."""
    if path.parts[0] in OTHER_FORMATS or path.name.startswith("."):
        return False
    if path.suffix != WEIGHTS:
        return path.suffix in BESIDE or path.name.casefold().startswith(NAMED_LICENSES)
    if path.name.startswith("consolidated") or (is_pipeline and len(path.parts) == 1):
        return False
    variant = VARIANT.fullmatch(path.name)
    return not variant or not any(is_plain(PurePosixPath(name), path.parent, variant["stem"]) for name in names)


def is_plain(path: PurePosixPath, folder: PurePosixPath, stem: str) -> bool:
    """Return whether a file holds the weights called `stem` in their main precision, or a part of them."""
    plain = re.fullmatch(rf"{re.escape(stem)}(-\d{{5}}-of-\d{{5}})?\.safetensors", path.name)
    return path.parent == folder and plain is not None


def lookup(repo_id: str, revision: str) -> Repository:
    """Return what the Hub says of a repository; raises BadRequest for one it does not give, Unavailable."""
    url = f"{endpoint()}/api/models/{repo_id}/revision/{quote(revision, safe='')}"
    answer = get(url, fields={"blobs": "true"})
    body = answer.read(decode_content=True)
    why = answer.headers.get("X-Error-Code")
    if why == "RevisionNotFound":
        raise refused("revision", f"{repo_id} has no revision {revision}")
    if answer.status in {401, 403, 404}:
        raise refused("repo_id", f"the Hub has no public repository {repo_id}")
    if answer.status != 200:
        raise Unavailable(f"The Hub answered {answer.status}; try again in a moment.", retry_after=10)
    try:
        repository = Repository.model_validate_json(body)
    except ValidationError as error:
        raise Unavailable("The Hub's answer could not be read; try again in a moment.", retry_after=10) from error
    if repository.gated:
        advice = "accept its terms, download it and send it to POST /ai-models/uploads"
        raise refused("repo_id", f"{repo_id} is given only to people who accepted its terms: {advice}")
    return repository


def read(repo_id: str, commit: str, filename: str, offset: int, size: int) -> bytes:
    """Return `size` bytes of a file from `offset` on; raises HubRefused, and Unavailable when the Hub fails."""
    url = f"{endpoint()}/{repo_id}/resolve/{commit}/{quote(filename)}"
    headers = {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}
    status = 0
    for _ in range(TRIES):
        answer = get(url, headers=headers)
        status = answer.status
        if answer.status in {401, 403, 404, 416}:
            raise HubRefused(f"The Hub no longer gives {filename} of {repo_id}: it answered {answer.status}.")
        if answer.status == 206 or (answer.status == 200 and offset == 0):
            try:
                body = answer.read(size + 1)
            except HTTPError:  # the connection broke; what came is no part
                body = b""
            if len(body) == size:
                return body
    raise Unavailable(f"The Hub did not give {filename} whole: it answered {status}.")


def get(url: str, **request: Any) -> urllib3.BaseHTTPResponse:
    """Return the Hub's answer to a GET, whose body is still to be read; raises Unavailable when there is none."""
    try:
        return connections().request("GET", url, preload_content=False, **request)
    except HTTPError as error:
        raise Unavailable("The Hub cannot be reached; try again in a moment.", retry_after=10) from error


@cache
def connections() -> urllib3.PoolManager:
    """Return the pool of connections; it waits as long as the Hub asks, and a little longer each time without."""
    retries = urllib3.Retry(total=4, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504))
    retries.raise_on_status = False
    return urllib3.PoolManager(maxsize=8, timeout=urllib3.Timeout(connect=5, read=20), retries=retries)


def endpoint() -> str:
    """Return the Hub's address; raises BadRequest where the stage has none."""
    found = optional("HF_ENDPOINT")
    if not found:
        message = "this stage imports nothing: its setting hugging_face_endpoint is null"
        raise refused("repo_id", message)
    return found


def refused(field: str, message: str) -> BadRequest:
    """Return the error for a repository that cannot be imported."""
    return BadRequest(f"The model cannot be imported: {message}.", errors=[{"field": field, "message": message}])
