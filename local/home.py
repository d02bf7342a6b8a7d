"""The platform's folder: where each file lives, and the few that this package reads and writes itself."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".slipway" / "cache"
REGION = "us-east-1"
ACCOUNT = "000000000000"
STAGE = "local"


class PlatformError(Exception):
    """Something the person at the keyboard can act on; the message is one sentence and says what to do next."""


@dataclass(frozen=True)
class Home:
    """One platform's folder. Two homes are two independent platforms."""

    path: Path

    @classmethod
    def from_environment(cls) -> Home:
        """The folder SLIPWAY_HOME names, or .slipway in the repository."""
        return cls(Path(os.environ.get("SLIPWAY_HOME") or REPOSITORY / ".slipway").resolve())

    @property
    def log(self) -> Path:
        return self.path / "platform.log"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def objects(self) -> Path:
        """The bytes of S3 objects."""
        return self.path / "s3"

    @property
    def temporary(self) -> Path:
        """Scratch of the running processes, emptied at each start."""
        return self.path / "tmp"

    @property
    def sagemaker(self) -> Path:
        return self.path / "sagemaker"

    def read(self, name: str) -> dict[str, Any] | None:
        """The JSON file `name` of the folder, or None when it is absent."""
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None

    def write(self, name: str, content: dict[str, Any], mode: int = 0o644) -> None:
        """Write the JSON file `name` whole: readers see the old content or the new."""
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / name
        partial = target.with_name(f"{name}.{os.getpid()}.part")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2, sort_keys=True)
            file.write("\n")
        os.replace(partial, target)

    def remove(self, name: str) -> None:
        """Remove the file `name` of the folder, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def root_key(self) -> dict[str, str]:
        """The root credentials of this platform, made on first use. The emulator takes the key id alone as proof."""
        key = self.read("credentials.json")
        if key is None:
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
            key = {
                "access_key_id": "SLIPWAY" + "".join(secrets.choice(alphabet) for _ in range(25)),
                "secret_access_key": secrets.token_hex(20),
            }
            self.write("credentials.json", key, mode=0o600)
        return key

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against another up, down or reset. Raises PlatformError when one is at work."""
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / "lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise PlatformError("Another command is starting or stopping this platform; wait for it.") from error
            yield
