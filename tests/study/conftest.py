"""Stores that tests of study write into: empty, on a disk or on S3."""

import uuid
from pathlib import Path

import pytest
from s3 import bucket_uri

from study.store.store import Store


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    store.prepare()
    return store


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> Store:
    """On a disk, and once more on S3 under a name with a space."""
    if request.param == "disk":
        return request.getfixturevalue("disk")
    store = Store(bucket_uri(request.getfixturevalue("s3"), f"{uuid.uuid4().hex}/with space"))
    store.prepare()
    return store
