"""MiniStack with the platform's changes to its S3, for these tests.  Run: python -m tests.api.emulator"""

import os
from pathlib import Path
from typing import Any

from ministack import app as ministack

from local import object_hooks, upload_hooks
from local.multipart import UploadsOnDisk


def main() -> None:
    """Serve until the process ends. Uploads are completed as AWS documents, with the checksum of the whole."""
    uploads = UploadsOnDisk(Path(os.environ["STATE_DIR"]) / "uploads")
    object_hooks.keep_on_disk()
    upload_hooks.uploads_as_documented(uploads)
    handlers: dict[str, Any] = ministack.SERVICE_HANDLERS
    handlers["s3"] = object_hooks.streaming(upload_hooks.keeping(handlers["s3"], uploads))
    ministack.main()


if __name__ == "__main__":
    main()
