"""Real runs whose workers die, raise errors, or have their results on S3 that fails one request in ten."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from runs import without_news
from s3 import SECRET, bucket_uri

from study.store.store import Store

pytestmark = pytest.mark.slow

MODEL = """
import os
from dataclasses import dataclass
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw

class FaultyCore(Core):
    def __init__(self, config, n_features, task, stream):
        super().__init__()
        self.output = Linear(draw(n_features, task.n_choices, "linear", stream("output")))
        step, *rest = open(config.plan).read().split() or ["train"]
        open(config.plan, "w").write(" ".join(rest or [step][: step in ("train", "always")]))
        if step in ("die", "always"):
            os.kill(os.getpid(), 9)
        if step == "raise":
            raise ValueError("the encoder is upside down")

    def forward(self, z_BTZ):
        return self.output(z_BTZ.mean(dim=1))

@dataclass(frozen=True)
class Faulty:
    plan: str = ""
    core = FaultyCore
"""
STUDY = """
name: faulty
question: What is tried again, and how often?
grids:
  - arms: [{arms}]
    conditions: {{same_different: [98]}}
    seeds: 1
"""
PLAIN = """
name: plain
question: Does S3 lose anything?
grids:
  - arms: [{updates: 4, n_test: 100, encoder: random, hidden_size: 64}]
    conditions: {same_different: [95, 98]}
    seeds: 1
"""


def esbn(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("esbn")), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + without_news(done.stderr)


def test_dead_workers_do_not_count_as_errors_and_both_have_a_bound(tmp_path: Path) -> None:
    faults = {"patient": "die die die raise raise train", "wrong": "raise raise raise train", "deadly": "always"}
    for name, steps in faults.items():
        (tmp_path / name).write_text(steps)
    (tmp_path / "faulty.py").write_text(MODEL)
    arm = '{{model: "faulty:Faulty", plan: "{}", updates: 2, n_test: 20, encoder: random}}'
    (tmp_path / "study.yaml").write_text(STUDY.format(arms=", ".join(arm.format(tmp_path / name) for name in faults)))
    code, output = esbn(tmp_path, "run", "study.yaml")
    assert code == 1 and "failed trials: 2" in output and "Traceback" not in output
    store = Store(str(tmp_path / "results"))
    rows = {name: row for row in store.read("trials").to_pylist() for name in faults if f"/{name}" in row["arm"]}
    assert rows["patient"]["status"] == "completed", output
    assert rows["wrong"]["failure"] == "ValueError: the encoder is upside down (after 3 attempts)"
    assert "it lost 6 workers in a row, the last by: The actor is dead" in rows["deadly"]["failure"]
    assert all(row["images_hash"] and row["torch_version"] for row in rows.values())

    (tmp_path / "deadly").write_text("train")
    code, output = esbn(tmp_path, "run", "study.yaml", "--retry-failed")
    assert code == 0, output
    again = {row["arm"]: row for row in store.read("trials").to_pylist()}
    assert {row["status"] for row in again.values()} == {"completed"}
    assert again[rows["patient"]["arm"]] == rows["patient"]


class Flaky(BaseHTTPRequestHandler):
    """Passes requests on to S3, but answers one in ten with an error and every fifteenth late."""

    protocol_version = "HTTP/1.1"
    behind = ""
    count = itertools.count(1)
    failed = 0

    def handle_any(self) -> None:
        body = self.body()
        n = next(Flaky.count)
        if n % 10 == 0:
            Flaky.failed += 1
            self.answer(500 if n % 20 else 503, {}, b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>")
            return
        if n % 15 == 0:
            time.sleep(0.5)
        request = urllib.request.Request(f"http://{Flaky.behind}{self.path}", body or None, method=self.command)
        for name, value in self.headers.items():
            if name.lower() not in ("transfer-encoding", "expect", "connection"):
                request.add_unredirected_header(name, value)
        try:
            with urllib.request.urlopen(request) as got:
                self.answer(got.status, dict(got.headers), got.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, dict(error.headers), error.read())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        headers = {k: v for k, v in headers.items() if k.lower() not in ("connection", "transfer-encoding")}
        if self.command != "HEAD":
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def flaky(s3: str) -> Iterator[str]:
    Flaky.behind = s3
    with ThreadingHTTPServer(("127.0.0.1", 0), Flaky) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def outcome(store: Store) -> list[tuple[object, ...]]:
    trials = store.read("trials", ["trial_id", "status", "test_accuracy", "test_loss"]).to_pylist()
    curves = store.read("curves").to_pylist()
    return sorted(tuple(row.values()) for row in trials) + sorted(tuple(row.values()) for row in curves)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The results of `PLAIN` on a disk without faults; no test writes there."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "study.yaml").write_text(PLAIN)
    code, output = esbn(folder, "run", "study.yaml")
    assert code == 0, output
    return Store(str(folder / "results"))


def test_study_on_s3_that_fails_and_is_slow_has_the_rows_of_one_on_a_disk(
    tmp_path: Path, flaky: str, on_disk: Store
) -> None:
    (tmp_path / "study.yaml").write_text(PLAIN)
    where = bucket_uri(flaky, uuid.uuid4().hex)
    code, output = esbn(tmp_path, "run", "study.yaml", "--results", where, "--checkpoint-seconds", "0")
    assert code == 0, output
    assert Flaky.failed > 5
    store = Store(where)
    assert outcome(store) == outcome(on_disk)
    assert store.checkpoints() == set()
    said = [output]
    for command in (
        ("run", "study.yaml"),
        ("status",),
        ("query", "select count(*) as n from trials where status = 'completed'", "--format", "csv"),
    ):
        code, output = esbn(tmp_path, *command, "--results", where)
        assert code == 0, output
        said.append(output)
    assert "nothing to train" in said[1]
    assert said[3].split() == ["n", "2"]
    kept = [store.read(table).to_pylist() for table in ("trials", "plans")]
    assert SECRET not in f"{said} {kept}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, which only root may do")
def test_run_that_fills_its_disk_says_so_and_goes_on_once_there_is_space(
    tmp_path: Path, small_disk: Path, on_disk: Store
) -> None:
    (tmp_path / "study.yaml").write_text(PLAIN)
    results = ("--results", str(small_disk / "results"))
    shutil.copytree(on_disk.root, results[1])
    store = Store(results[1])
    (untrained,) = (row["trial_id"] for row in store.read("trials").to_pylist() if row["withheld"] == 98)
    for table in ("trials", "curves"):
        Path(store.root, table, f"{untrained}.parquet").unlink()
    before = outcome(store)
    assert before

    def fill_once_the_run_has_its_lease() -> None:
        while not any('"running": true' in (store.read_lease(name) or "") for name in store.leases()):
            time.sleep(0.05)
        with suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as filler:
            for size in (4096, 1):
                with suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    filling = threading.Thread(target=fill_once_the_run_has_its_lease)
    filling.start()
    code, output = esbn(tmp_path, "run", "study.yaml", *results)
    filling.join()
    assert code == 1
    assert "cannot be written" in output and "No space left on device" in output
    assert "Traceback" not in output
    assert outcome(store) == before

    (small_disk / "filler").unlink()
    code, output = esbn(tmp_path, "run", "study.yaml", *results)
    assert code == 0, output
    assert outcome(store) == outcome(on_disk)
