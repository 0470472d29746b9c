"""Settings of every test: one thread, so that sums and timings do not depend on the machine's cores; an S3 server; what
tests measured, printed after them."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from repository import ROOT
from s3 import SECRET
from xdist.scheduler import LoadScopeScheduling

from study.cli import working

torch.set_num_threads(1)
working.FIRST_SECONDS = threading.TIMEOUT_MAX  # a loaded machine must not add lines to what a test compares
MEASURED = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds", type=int, default=1, help="how often tests/study/running/test_survival.py lets each fault happen"
    )
    parser.addoption("--long", action="store_true", help="also tests that show again what a faster one shows")
    parser.addoption("--nodes", type=int, default=2, help="machines that tests/study/running/test_scale.py simulates")
    parser.addoption("--jobs", type=int, default=24, help="jobs that tests/study/running/test_scale.py hands out")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)  # of one of several processes, which print nothing
    if output is not None:
        output["measured"] = dict(session.config.stash[MEASURED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[MEASURED].update(getattr(node, "workeroutput", {}).get("measured", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[MEASURED]:
        terminalreporter.section("measured")
        for what, times in config.stash[MEASURED].items():
            terminalreporter.line(f"{what}{f' ({times} times)' if times > 1 else ''}")


class Spread(LoadScopeScheduling):
    """Gives each test to the process that is free first, but all tests of a file with module fixtures to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _has_module_fixtures(file) else nodeid


@cache
def _has_module_fixtures(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Takes `Spread` for ``--dist loadscope``."""
    return Spread(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Prints a measurement after the tests; what is measured more than once with one outcome is counted."""

    def measured(what: str, outcome: str) -> None:
        pytestconfig.stash[MEASURED][f"{what}: {outcome}"] += 1

    return measured


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """host:port of an S3 server in a process of its own, with a bucket named ``bucket`` and credentials for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
    found = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found, "moto_server is not installed: pip install -c constraints.txt -e '.[dev]'"
    credentials = {"AWS_ACCESS_KEY_ID": "the-key-id", "AWS_SECRET_ACCESS_KEY": SECRET}
    environment = {**os.environ, **credentials}
    environment.pop("PYTHONPATH", None)
    server = subprocess.Popen(
        [found, "-H", host, "-p", str(port)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**credentials, "AWS_EC2_METADATA_DISABLED": "true"}.items():
                patch.setenv(name, value)
            _make_bucket(f"http://{host}:{port}/bucket", server)
            yield f"{host}:{port}"
    finally:
        server.kill()
        server.wait()


def _make_bucket(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT")).close()
            return
        except OSError:
            assert server.poll() is None and time.monotonic() < deadline, "the S3 server does not start"
            time.sleep(0.1)
