"""Connection to Ray: started on this machine for its owner alone, or a cluster; and a watch on whether it lives."""

import atexit
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray._private.utils import get_num_cpus

from esbn_core.errors import ConfigError
from study.running.private import private_folder, protect_token
from study.running.resources import usable_cpus
from study.running.run_context import MEMORY_SETTINGS
from study.running.signals import handlers_kept, ignore_stops

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # no banner of Tune's own
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once; checkpoints are there already
}
HOOK = "esbn_core.imports.protect"  # what workers do first
LOCAL_PATIENCE, CLUSTER_PATIENCE = 2.0, 40.0  # seconds without an answer; after 60, Ray ends the process by itself
MOST_HEARD = 100  # messages or lines that are kept
DEAF_SECONDS = 15.0  # in which the main thread hears that Ray is gone, unless it waits inside Ray
GO_ON_LATER = "results are stored, and the same command goes on from them"
_LOST = "its processes have died or cannot be reached"
HEAD = "node:__internal_head__"  # a resource that Ray gives to one machine

_folder: str | None = None  # Ray's, while it runs here
_heard: list[str] = []  # what Ray has said of this run, the newest last


class RayLostError(Exception):
    """Ray does not answer any more."""


def connect(address: str | None) -> None:
    """Connects to a cluster, or starts Ray on this machine, until this process ends.

    Raises:
        ConfigError: there is no such cluster, or Ray does not start here.
    """
    for name, value in {**QUIET, **MEMORY_SETTINGS}.items():
        os.environ.setdefault(name, value)
    protect_token(create=address is None and not _authentication_is_off())
    settings = _settings_of_cluster(address) if address else _settings_of_own()
    _heard.clear()
    ray_worker.print_to_stdstream = _hear
    try:
        with handlers_kept(), chdir("/"):  # workers import from the current folder first
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:  # Ray raises bare ones, as when a process of its own dies at the start
        disconnect()
        what = f"address={address!r} is no Ray cluster one can connect to" if address else "Ray does not start here"
        why = " ".join(str(error).partition("Traceback")[0].split())
        raise ConfigError(f"{what}: {why}") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # why a pack failed is in its rows, and said once


def disconnect() -> None:
    """Ends the connection, and Ray itself with its temporary folder if it was started here."""
    global _folder
    ray.shutdown()
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)
        _folder = None


def _hear(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    """Takes in place of the terminal what Ray says, whatever it was told about its log: pages, in colour."""
    _heard.extend(data["lines"])
    del _heard[:-MOST_HEARD]


def last_death() -> str:
    """Returns in a line what is known of the worker that died last: its own last words, or else Ray's; or nothing."""
    for said in reversed(_heard):
        if detail := re.search(r"Worker ID: (\w+).*Worker exit detail: (.*)", said, re.DOTALL):
            worker, reason = detail.groups()
            lines = [*reason.partition(" Some common causes")[0].splitlines(), *_log(f"worker-{worker}-*.err")]
            fatal = [line for line in lines if line.startswith("Fatal Python error")]
            return (fatal or [line for line in lines if line.strip()])[-1].strip()
    return ""


def why_none_starts() -> str:
    """Returns the last line of Ray's log of starting workers on this machine, or nothing."""
    return next((line.strip() for line in reversed(_log("raylet.err")) if line.strip()), "")


def _log(pattern: str) -> list[str]:
    """Returns the lines of a log of Ray on this machine; those of a cluster are elsewhere."""
    lines: list[str] = []
    if _folder:
        for path in Path(_folder).glob(f"ray/session_2*/logs/{pattern}"):
            with suppress(OSError):
                lines += path.read_text(errors="replace").splitlines()[-MOST_HEARD:]
    return lines


@atexit.register
def _leave() -> None:
    ignore_stops()
    disconnect()


def temporary_folder() -> str | None:
    """Returns Ray's folder, which goes when it does; None on a cluster."""
    return _folder


def _settings_of_cluster(address: str) -> dict[str, Any]:
    """Returns arguments of `ray.init`; workers of a cluster do not have the environment of this process."""
    return {"address": address, "runtime_env": {"worker_process_setup_hook": HOOK, "env_vars": MEMORY_SETTINGS}}


def _settings_of_own() -> dict[str, Any]:
    """Returns arguments of `ray.init` for a Ray that listens on loopback only."""
    global _folder
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as Ray does on those systems; for its processes
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which has read the variable already
    _folder = private_folder()
    os.environ[ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = HOOK
    own = {"include_dashboard": False, "object_store_memory": 256 * 2**20}
    own["num_cpus"] = min(int(get_num_cpus()), usable_cpus())  # Ray heeds quotas, but no affinity
    if (executable := shlex.quote(sys.executable)) != sys.executable:  # Ray makes it a part of a line of bash
        own["runtime_env"] = {"py_executable": executable}
    return {"address": "local", "_temp_dir": f"{_folder}/ray", **own}  # to which Ray lets everyone


def _authentication_is_off() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"


def open_to_strangers(address: str | None) -> str | None:
    """Returns a sentence that says so if Ray asks nobody for a token; its log would say it, but is off."""
    if address is None:
        if _authentication_is_off():
            return (
                "Ray runs without authentication: every user of this machine can run code as you; unset RAY_AUTH_MODE"
            )
        return None

    @ray.remote(num_cpus=0, resources={HEAD: 0.001}, max_retries=0)
    def asks_for_token() -> bool:
        return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"

    if ray.get(asks_for_token.remote()):
        return None
    return (
        f"the Ray cluster at {address} runs without authentication: whoever reaches it can run code on it; start it "
        "with RAY_AUTH_MODE=token after `ray get-auth-token --generate`"
    )


@contextmanager
def watch(patience: float) -> Iterator[None]:
    """Watches that Ray's own processes listen: its control service, and this machine's raylet.

    Raises:
        RayLostError: they have not for `patience` seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal gets there
        return
    over, lost = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if not over.is_set():
            raise KeyboardInterrupt  # of all exceptions, Ray passes only this one on from where it waits

    before = signal.signal(signal.SIGUSR2, interrupt)
    watcher = threading.Thread(target=_watch, args=(_listeners(), patience, over, lost), daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if lost.is_set():
            raise RayLostError(_LOST) from None
        raise
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGUSR2, before)


def _listeners() -> list[tuple[str, int]]:
    """Returns addresses at which a living Ray takes connections."""
    here = ray.get_runtime_context()
    host, _, port = here.gcs_address.rpartition(":")
    own = [node for node in ray.nodes() if node["NodeID"] == here.get_node_id()]
    return [(host, int(port)), *((node["NodeManagerAddress"], node["NodeManagerPort"]) for node in own)]


def _watch(listeners: Sequence[tuple[str, int]], patience: float, over: threading.Event, lost: threading.Event) -> None:
    listened = time.monotonic()
    while not over.wait(0.5):
        if all(_listens(*listener) for listener in listeners):
            listened = time.monotonic()
        elif time.monotonic() - listened > patience:
            lost.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)
            if not over.wait(DEAF_SECONDS):
                _exit_in_order()
            return


def _exit_in_order() -> None:
    """Ends this process while its main thread waits inside Ray, which would soon end it without a word."""
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)
    with suppress(OSError):
        os.write(2, f"Error: Ray stopped ({_LOST}); {GO_ON_LATER}\n".encode())
    os._exit(1)


def _listens(host: str, port: int) -> bool:
    """Whether a connection is taken, which the system does for a process however busy that is."""
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False
