"""Connection to Ray, private on this machine or on a cluster, and a watch that detects when Ray dies."""

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

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # no banner of Tune's own
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store has it all
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once; checkpoints are there already
    "RAY_prestart_worker_first_driver": "0",  # such workers lack the hook, so none is ever used
}
HOOK = "esbn_core.imports.protect"  # runs first in each worker
LOCAL_PATIENCE, CLUSTER_PATIENCE = 2.0, 40.0  # seconds without an answer; after 60, Ray ends the process by itself
MOST_HEARD = 100  # messages or lines that are kept
DEAF_SECONDS = 15.0  # for the main thread to notice that Ray is gone, unless it is blocked inside Ray
GO_ON_LATER = "results are stored; run the same command again to continue"
_LOST = "its processes have died or cannot be reached"
HEAD = "node:__internal_head__"  # a resource that Ray gives to one machine

_folder: str | None = None  # Ray's, while it runs here
_heard: list[str] = []  # Ray's messages about this run, newest last


class RayLostError(Exception):
    """Ray no longer answers."""


def connect(address: str | None) -> None:
    """Connects to a cluster, or starts Ray on this machine, until this process ends.

    Raises:
        ConfigError: there is no such cluster, or Ray cannot start here.
    """
    for name, value in {**SETTINGS, **MEMORY_SETTINGS}.items():
        os.environ.setdefault(name, value)
    protect_token(create=address is None and not _authentication_is_off())
    settings = _settings_of_cluster(address) if address else _settings_of_own()
    _heard.clear()
    ray_worker.print_to_stdstream = _hear
    try:
        with handlers_kept(), chdir("/"):  # workers import from the current folder first
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    except Exception as error:  # Ray raises bare exceptions, e.g. if one of its processes dies at startup
        disconnect()
        what = f"address={address!r}: cannot connect to a Ray cluster" if address else "Ray cannot start here"
        why = " ".join(str(error).partition("Traceback")[0].split())
        raise ConfigError(f"{what}: {why}") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # failures of packs are in their rows and printed once


def disconnect() -> None:
    """Ends the connection, and Ray itself with its temporary folder if it was started here."""
    global _folder
    ray.shutdown()
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)
        _folder = None


def _hear(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    """Receives Ray's messages instead of the terminal: Ray prints pages in colour, whatever its log settings."""
    _heard.extend(data["lines"])
    del _heard[:-MOST_HEARD]


def last_death() -> str:
    """Returns one line on the worker that died last: its last error, or else Ray's reason; empty if unknown."""
    for said in reversed(_heard):
        if detail := re.search(r"Worker ID: (\w+).*Worker exit detail: (.*)", said, re.DOTALL):
            worker, reason = detail.groups()
            lines = [*reason.partition(" Some common causes")[0].splitlines(), *_log(f"worker-{worker}-*.err")]
            fatal = [line for line in lines if line.startswith("Fatal Python error")]
            return (fatal or [line for line in lines if line.strip()])[-1].strip()
    return ""


def why_none_starts() -> str:
    """Returns the last line of Ray's log of starting workers on this machine; empty if there is none."""
    return next((line.strip() for line in reversed(_log("raylet.err")) if line.strip()), "")


def _log(pattern: str) -> list[str]:
    """Returns the lines of a Ray log on this machine; logs of a cluster are elsewhere."""
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
    """Returns Ray's folder, which is deleted when Ray ends; None on a cluster."""
    return _folder


def _settings_of_cluster(address: str) -> dict[str, Any]:
    """Returns arguments of `ray.init` for a cluster, whose workers do not inherit this process's environment."""
    return {"address": address, "runtime_env": {"worker_process_setup_hook": HOOK, "env_vars": MEMORY_SETTINGS}}


def _settings_of_own() -> dict[str, Any]:
    """Returns arguments of `ray.init` for a Ray that listens on loopback only."""
    global _folder
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # as Ray does on those systems; for Ray's processes
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this process, which has already read the variable
    _folder = private_folder()
    os.environ[ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR] = HOOK
    own = {"include_dashboard": False, "object_store_memory": 256 * 2**20}
    own["num_cpus"] = min(int(get_num_cpus()), usable_cpus())  # Ray respects quotas, but not affinity
    if (executable := shlex.quote(sys.executable)) != sys.executable:  # Ray puts it into a bash command line
        own["runtime_env"] = {"py_executable": executable}
    return {"address": "local", "_temp_dir": f"{_folder}/ray", **own}  # Ray makes this folder readable for everyone


def _authentication_is_off() -> bool:
    return os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"


def open_to_strangers(address: str | None) -> str | None:
    """Returns a warning if Ray does not require a token, else None; Ray's own warning goes to a log that is off."""
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
        f"the Ray cluster at {address} runs without authentication: anyone who reaches it can run code on it; start it "
        "with RAY_AUTH_MODE=token after `ray get-auth-token --generate`"
    )


@contextmanager
def watch(patience: float) -> Iterator[None]:
    """Watches that Ray's processes accept connections: its control service and this machine's raylet.

    Raises:
        RayLostError: they have not accepted any for `patience` seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # other threads get no signals
        return
    over, lost = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if not over.is_set():
            raise KeyboardInterrupt  # the only exception that Ray passes on while it waits

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
    """Returns the addresses at which a running Ray accepts connections."""
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
    """Ends this process while its main thread waits inside Ray, which would soon end it without a message."""
    if _folder:
        shutil.rmtree(_folder, ignore_errors=True)
    with suppress(OSError):
        os.write(2, f"Error: Ray stopped ({_LOST}); {GO_ON_LATER}\n".encode())
    os._exit(1)


def _listens(host: str, port: int) -> bool:
    """Returns whether a connection is accepted; the system accepts for a process, even a busy one."""
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except OSError:
        return False
