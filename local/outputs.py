"""What is deployed: outputs.json for people and clients, deployed.json for the platform itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local.home import Home

OUTPUTS = "outputs.json"  # flat, the same keys as after a deployment to AWS
DEPLOYED = "deployed.json"  # the assembly's digest, the REST API's id, the images by URI, the buckets to import from


@dataclass
class Deployment:
    """The two files, read again whenever they change."""

    home: Home
    cached: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    def api_id(self) -> str | None:
        """The REST API behind /api, or None before the first deployment."""
        return self.read(DEPLOYED).get("api_id")

    def buckets(self) -> set[str]:
        """The buckets that presigned links may name."""
        own = {value for name, value in self.read(OUTPUTS).items() if name.endswith("Bucket")}
        return own.union(self.read(DEPLOYED).get("import_buckets", []))

    def images(self) -> dict[str, dict[str, str]]:
        """Image URI -> the folder and Dockerfile it would be built from."""
        return self.read(DEPLOYED).get("images", {})

    def read(self, name: str) -> dict[str, Any]:
        """The file's content, {} when it is absent."""
        try:
            changed = (self.home.path / name).stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self.cached.get(name, (0, {}))[0] != changed:
            self.cached[name] = changed, self.home.read(name) or {}
        return self.cached[name][1]
