"""Location of results: a local folder or a bucket, as one pyarrow filesystem.

Driver, workers and analysis all open results here, so the same text means the same place to all of them. An S3 URI
gives only the location, ``s3://bucket/folder?endpoint_override=host:port&scheme=http&region=...``. Parts it leaves out
come from the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``), and credentials always do (``AWS_ACCESS_KEY_ID`` and
``AWS_SECRET_ACCESS_KEY``, ``~/.aws``, or the role of the machine).
"""

import os
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from study.store.errors import StoreError

Place = str | os.PathLike[str]
"""A folder on a disk, or a URI."""

S3_SETTINGS = ("endpoint_override", "region", "scheme")
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # http://host:port of an S3 server outside AWS
S3_ATTEMPTS = 8
"""Tries of one request: S3 clients must repeat a request after a 500, a 503 or a lost connection. The SDK waits in
between, twice as long each time and at most 20 s."""


class Location(NamedTuple):
    """A folder on a filesystem, and the URI or absolute path that opens it again elsewhere."""

    fs: pafs.FileSystem
    root: str
    uri: str

    @property
    def local(self) -> bool:
        """True for a local disk, or a mount that looks like one."""
        return isinstance(self.fs, pafs.LocalFileSystem)


def open_location(results: Place) -> Location:
    """Opens a local folder, whose name is taken literally, or a URI; it need not exist yet.

    Raises:
        StoreError: the text does not name a place, or contains credentials.
    """
    results = os.fspath(results)
    if not results:
        raise StoreError("results='' is empty; give a folder or a URI with --results")
    uri = results if "://" in results else os.path.abspath(results)
    try:
        if "://" in uri and "@" in urlsplit(uri).netloc:
            raise StoreError("results has credentials in its URI; leave them out and give them by AWS_ACCESS_KEY_ID")
        if uri.startswith("s3://"):
            return _s3(uri)
        fs, root = pafs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise StoreError(f"results={results!r} is not a folder or URI: {first_line(error)}") from None
    return Location(fs, root, uri)


def _s3(uri: str) -> Location:
    parts = urlsplit(uri)
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in settings:
        if name not in S3_SETTINGS:  # the value is not shown: it may be a key
            raise StoreError(
                f"results has {name}= in its S3 URI; it takes {', '.join(S3_SETTINGS)}, and no credentials"
            )
    if not parts.netloc:
        raise StoreError(f"results={uri!r} has no bucket; write s3://bucket/folder")
    elsewhere = next((os.environ[name] for name in S3_ENDPOINTS if os.environ.get(name)), None)
    if elsewhere and "endpoint_override" not in settings:  # pyarrow ignores these variables
        scheme, _, settings["endpoint_override"] = elsewhere.rstrip("/").rpartition("://")
        settings.setdefault("scheme", scheme or "https")
    if {"region", "endpoint_override", "AWS_REGION", "AWS_DEFAULT_REGION"}.isdisjoint({*settings, *os.environ}):
        settings["region"] = pafs.resolve_s3_region(parts.netloc)
    fs = pafs.S3FileSystem(**settings, retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS))
    return Location(fs, f"{parts.netloc}{unquote(parts.path)}".rstrip("/"), uri)


def first_line(error: Exception) -> str:
    """Returns the first line of an error, without the rest of a C++ message."""
    return str(error).strip().split("\n")[0]
