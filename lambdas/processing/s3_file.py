"""One object in S3 as a seekable file: one request while it is read in order, another where it is read elsewhere."""

import io
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, HTTPClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

BUFFER = 256 * 1024
READ_THROUGH = 1024 * 1024  # a gap this small is read: that is faster than another request
BREAKS = 5  # broken connections that one open file survives
BROKEN = (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError, TimeoutError)
CHANGED = {"PreconditionFailed", "412", "NoSuchKey", "InvalidRange"}


class S3Object:
    """An object that must not change while it is read. `failure` is what ended a reading of it, if anything did.

    Readers of formats take some OSErrors for damage in a file: whoever opened the file asks here what was none.
    """

    def __init__(self, s3: Any, bucket: str, key: str, size: int) -> None:
        self.bucket, self.key, self.size = bucket, key, size
        self.failure: OSError | None = None
        self._s3 = s3
        self._etag: str | None = None  # of the first answer: every other must have it too

    def open(self) -> BinaryIO:
        """Return the bytes from the start, buffered and seekable; reading raises OSError for what a retry may cure."""
        return cast(BinaryIO, io.BufferedReader(ObjectReader(self), BUFFER))

    def body(self, position: int) -> Any:
        """Return the bytes from a position on, as botocore's StreamingBody; raises OSError."""
        wanted = {"Range": f"bytes={position}-"} if position else {}
        wanted |= {"IfMatch": self._etag} if self._etag else {}
        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=self.key, **wanted)
        except ClientError as error:
            changed = error.response.get("Error", {}).get("Code") in CHANGED
            raise self.failed("it was changed or deleted meanwhile" if changed else str(error)) from error
        except BotoCoreError as error:
            raise self.failed(str(error)) from error
        self._etag = answer["ETag"]
        size = position + answer["ContentLength"]
        if size != self.size:
            answer["Body"].close()
            raise self.failed(f"it has {size:,} bytes, and had {self.size:,} when it was registered")
        return answer["Body"]

    def failed(self, reason: str) -> OSError:
        """Return the error that ends a reading, and keep it."""
        self.failure = OSError(f"s3://{self.bucket}/{self.key} cannot be read: {reason}.")
        return self.failure


class ObjectReader(io.RawIOBase):
    """Reads an object from where it stands; a connection that breaks is opened anew there."""

    def __init__(self, object: S3Object) -> None:
        self._object = object
        self._position = 0
        self._body: Any = None
        self._body_position = 0
        self._breaks = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._object.size}[whence]
        if start + offset < 0:
            raise ValueError(f"There is nothing at {start + offset}, before the start.")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # A body that was read to its end is read once more: botocore then compares its checksum. And an object is
        # known to be empty when S3 said so.
        at_end_of_body = self._body is not None and self._body_position == self._position
        if self._position >= self._object.size > 0 and not at_end_of_body:
            return 0
        while True:
            try:
                count = self._body_here().readinto(buffer)
                break
            except BROKEN as error:
                self._let_go()
                self._breaks += 1
                if self._breaks > BREAKS:
                    raise self._object.failed(f"the connection broke {self._breaks} times ({error})") from error
            except FlexibleChecksumError as error:
                raise self._object.failed(f"its bytes are not those of its checksum ({error})") from error
        self._position += count
        self._body_position += count
        return count

    def _body_here(self) -> Any:
        """Return a body that stands where reading goes on."""
        if self._body is None or not 0 <= self._position - self._body_position <= READ_THROUGH:
            self._let_go()
            self._body = self._object.body(self._position)
            self._body_position = self._position
        while self._body_position < self._position:
            self._body_position += len(self._body.read(min(BUFFER, self._position - self._body_position)))
        return self._body

    def _let_go(self) -> None:
        if self._body is not None:
            self._body.close()
        self._body = None

    def close(self) -> None:
        self._let_go()
        super().close()
