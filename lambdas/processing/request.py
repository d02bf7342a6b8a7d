"""What is to be processed, as the control plane writes it into request.json: for function and job alike."""

import json
import re
from dataclasses import dataclass
from typing import Any

OUTPUT = "processed/"
SAFE_NAME = re.compile(r"(?!\.{1,2}$)[^/\\\0]+")


class WrongRequest(Exception):
    """The request asks for what processing must not do; only whoever writes requests can mend that."""


@dataclass(frozen=True)
class RequestedFile:
    """One file of the dataset: its name for people, where it lies, and its size in bytes."""

    name: str
    bucket: str
    key: str
    size: int


@dataclass(frozen=True)
class Request:
    """A dataset version's type and format, its files, and the key prefix that everything is written below."""

    type: str
    format: str
    output: str
    files: list[RequestedFile]

    def check_places(self, bucket: str, key: str) -> None:
        """Raise WrongRequest unless output, files of `bucket` and the request itself, at `key`, lie in one folder."""
        folder = self.output.removesuffix(OUTPUT)
        if folder == self.output or not folder.endswith("/"):
            raise WrongRequest(f"The output {self.output!r} does not end in /{OUTPUT}.")
        keys = [key, *(file.key for file in self.files if file.bucket == bucket)]
        outside = next((key for key in keys if not key.startswith(folder)), None)
        if outside is not None:
            raise WrongRequest(f"{outside!r} does not lie in {folder!r}, the folder of this dataset version.")


def parse(text: bytes | str) -> Request:
    """Return a request; raises WrongRequest when a field is missing or a file's name is not a plain one."""
    try:
        fields: dict[str, Any] = json.loads(text)
        files = [RequestedFile(file["name"], file["bucket"], file["key"], file["size"]) for file in fields["files"]]
        request = Request(fields["type"], fields["format"], fields["output"], files)
    except (ValueError, KeyError, TypeError) as error:
        raise WrongRequest(f"The request is not complete: {type(error).__name__}: {error}.") from error
    wrong = next((file.name for file in files if not SAFE_NAME.fullmatch(file.name)), None)
    if wrong is not None:
        raise WrongRequest(f"{wrong!r} is no name of a file.")
    return request
