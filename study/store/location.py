"""Location of results: a local folder or a bucket, as one pyarrow filesystem.

The driver, the workers and the analysis open results here, so that all of them mean the same place by the same words.
Of S3 a URI says no more than where it is, ``s3://bucket/folder?endpoint_override=host:port&scheme=http&region=...``;
what the URI leaves out is asked of the environment (``AWS_ENDPOINT_URL``, ``AWS_REGION``), and credentials always are
(``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``, ``~/.aws``, or the role of the machine).
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
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # http://host:port of S3 that is not of AWS
S3_ATTEMPTS = 8
"""Tries of one request: S3 asks its users to repeat a 500, a 503 or a lost connection. The SDK waits in between, twice
as long each time and at most 20 s."""


class Location(NamedTuple):
    """A folder on a filesystem, and the URI or absolute path that opens it again elsewhere."""

    fs: pafs.FileSystem
    root: str
    uri: str

    @property
    def local(self) -> bool:
        """True on a disk of this machine, or one that looks like it."""
        return isinstance(self.fs, pafs.LocalFileSystem)


def open_location(results: Place) -> Location:
    """Opens a local folder, whose name is taken literally, or a URI; nothing need be there yet.

    Raises:
        StoreError: the text names no place, or has credentials in it.
    """
    results = os.fspath(results)
    if not results:
        raise StoreError("results='' names no place; give a folder or a URI with --results")
    uri = results if "://" in results else os.path.abspath(results)
    try:
        if "://" in uri and "@" in urlsplit(uri).netloc:
            raise StoreError("results has credentials in its URI; leave them out and give them by AWS_ACCESS_KEY_ID")
        if uri.startswith("s3://"):
            return _s3(uri)
        fs, root = pafs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise StoreError(f"results={results!r} is not a folder or a URI to open: {first_line(error)}") from None
    return Location(fs, root, uri)


def _s3(uri: str) -> Location:
    parts = urlsplit(uri)
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in settings:
        if name not in S3_SETTINGS:  # its value is not shown: it may be a key
            raise StoreError(
                f"results has {name}= in its S3 URI; it takes {', '.join(S3_SETTINGS)}, and no credentials"
            )
    if not parts.netloc:
        raise StoreError(f"results={uri!r} names no bucket; write s3://bucket/folder")
    elsewhere = next((os.environ[name] for name in S3_ENDPOINTS if os.environ.get(name)), None)
    if elsewhere and "endpoint_override" not in settings:  # pyarrow does not look there
        scheme, _, settings["endpoint_override"] = elsewhere.rstrip("/").rpartition("://")
        settings.setdefault("scheme", scheme or "https")
    if {"region", "endpoint_override", "AWS_REGION", "AWS_DEFAULT_REGION"}.isdisjoint({*settings, *os.environ}):
        settings["region"] = pafs.resolve_s3_region(parts.netloc)
    fs = pafs.S3FileSystem(**settings, retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS))
    return Location(fs, f"{parts.netloc}{unquote(parts.path)}".rstrip("/"), uri)


def first_line(error: Exception) -> str:
    """Returns what went wrong, without the rest of a C++ message."""
    return str(error).strip().split("\n")[0]
