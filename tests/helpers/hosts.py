"""Machines to run a cluster on, made of Linux namespaces: each has its own network, processes, files, name and sshd.

A host is a process, and everything in it is that process's: its network interface, its files and its processes end with
it, also when pytest is killed. Hosts see one another only over a bridge that one of them holds, the laptop.
"""

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from debian import install, one_at_a_time
from repository import NO_CLUSTER, ROOT

BIN = Path(sys.prefix, "bin")
HOME = "/home/host"
PACKAGES = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "ps": "procps"}
NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")


class HostsError(Exception):
    """Hosts cannot be made on this machine; the message says what is missing."""


class Host:
    """One machine; `Hosts` makes it.

    Attributes:
        name: its host name.
        address: its address on the network of `Hosts`.
        pid: of its first process, seen from here.
        environment: variables of everybody who logs in.
    """

    def __init__(self, name: str, address: str, folder: Path, environment: Mapping[str, str], *made_of: Path):
        self.name, self.address, self.environment = name, address, dict(environment)
        variables = " ".join(f"{name}={value}" for name, value in {"LANG": "C.UTF-8", **environment}.items())
        script = ["sh", Path(__file__).with_name("host.sh"), name, address, *made_of, sys.prefix, variables]
        alone = ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "--fork", "--kill-child"]
        self._log = open(folder / f"{name}.log", "w+")
        self._process = subprocess.Popen(
            [*alone, *map(str, script)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self.pid = int(self._wait_for(children.read_text))

    def _wait_for(self, find: Callable[[], str]) -> str:
        deadline = time.monotonic() + 20
        while not (found := find()):
            self._log.seek(0)
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise HostsError(f"host {self.name} did not start: {self._log.read().strip()}")
            time.sleep(0.05)
        return found

    def wait(self) -> None:
        """Waits until its sshd listens."""

        def listens() -> str:
            asked = self.run("ss -ltnH 'sport = 22'", check=False)
            return "" if asked.returncode else asked.stdout

        self._wait_for(listens)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Runs a shell command in the project's folder, as somebody who sits at this machine."""
        there = f"cd {shlex.quote(str(ROOT))} && {command}"
        inside = ["nsenter", "--target", str(self.pid), *NAMESPACES, "bash", "-c", there]
        own = {"HOME": HOME, "PATH": f"{BIN}:{os.environ['PATH']}", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            inside,
            env={**own, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(command)
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name}: {command} took more than {timeout} s: {stop(process)}") from None
        assert not check or process.returncode == 0, f"{self.name}: {command}: {output}"
        return subprocess.CompletedProcess(command, process.returncode, output)

    def runs_now(self, command: str) -> bool:
        """Whether it has a process with these words in its command line."""
        return any(command in line for line in self.run("ps -eo args=").stdout.splitlines())

    def ip(self, *arguments: str, check: bool = True) -> None:
        """Runs `ip` of iproute2 on its network."""
        inside = ["nsenter", "--net", "--target", str(self.pid), "ip", *arguments]
        subprocess.run(inside, check=check, stderr=None if check else subprocess.DEVNULL)

    @property
    def runs(self) -> bool:
        """Whether it has power."""
        return self._process.poll() is None

    def end(self) -> None:
        """Ends all of its processes at once."""
        if self.runs:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


class Hosts:
    """A laptop and more machines on one network, gone when the `with` block ends.

    Attributes:
        laptop: where a person sits; knows the ssh key of the machines that it starts with, and is no part of a cluster.
        machines: the others, by name.
        shared: the folder that all of them see as /shared.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = (),
        network: str = "10.77.0.0/24",
        environment: Mapping[str, str] = MappingProxyType({}),
    ):
        why_not = missing()
        if why_not:
            raise HostsError(why_not)
        self._folder, self._names, self._network = folder, names, ip_network(network)
        self._environment, self._wheels = environment, wheels()
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.machines: dict[str, Host] = {}
        self._key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key], check=True)

    def __enter__(self) -> "Hosts":
        gateway, *others = islice(self._network.hosts(), len(self._names) + 1)
        try:
            self.laptop = self._boot("laptop", str(gateway), self._key.with_suffix(".pub"))
            self.laptop.ip("link", "add", "br0", "type", "bridge")
            self.laptop.ip("addr", "add", f"{gateway}/{self._network.prefixlen}", "dev", "br0")
            self.laptop.ip("link", "set", "br0", "up")
            self.laptop.ip("route", "add", "default", "dev", "br0")
            for name, address in zip(self._names, others, strict=True):
                self.boot(name, str(address), self._key.with_suffix(".pub"))
            for host in (self.laptop, *self.machines.values()):
                host.wait()
            self.laptop.run(f"install -m 600 {self._key} {HOME}/.ssh/id_ed25519")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for host in self.machines.values():
            host.end()
        if hasattr(self, "laptop"):
            self.laptop.end()

    def boot(self, name: str, address: str, public_key: Path, public_address: str | None = None) -> Host:
        """Starts a machine; its sshd takes a moment more."""
        host = self.machines[name] = self._boot(name, address, public_key)
        there = f"/proc/{host.pid}/ns/net"
        self.laptop.ip("link", "add", _port(name), "type", "veth", "peer", "name", "eth0", "netns", there)
        self.laptop.ip("link", "set", _port(name), "master", "br0")
        host.ip("addr", "add", f"{address}/{self._network.prefixlen}", "dev", "eth0")
        if public_address:
            host.ip("addr", "add", f"{public_address}/32", "dev", "eth0")
        host.ip("link", "set", "eth0", "up")
        host.ip("route", "add", "default", "via", self.laptop.address)
        self.plug(name)
        return host

    def _boot(self, name: str, address: str, public_key: Path) -> Host:
        host = Host(name, address, self._folder, self._environment, public_key, self.shared, self._wheels)
        host.ip("link", "set", "lo", "up")
        return host

    def plug(self, name: str) -> None:
        """Gives a machine its network, again."""
        self.laptop.ip("link", "set", _port(name), "up")

    def unplug(self, name: str) -> None:
        """Cuts a machine's network: nothing passes, and neither side is told."""
        self.laptop.ip("link", "set", _port(name), "down")

    def off(self, name: str) -> None:
        """Cuts a machine's power, without a word to anyone: the cable first, or its kernel would close connections."""
        self.unplug(name)
        self.machines[name].end()


def stop(process: subprocess.Popen[str]) -> str:
    """Kills a command that a host has started, and gives what it has printed."""
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def _port(name: str) -> str:
    return f"to_{name[-12:]}"  # a network interface has no longer name


def missing() -> str:
    """Why hosts cannot be made here, or an empty string. Installs what Debian's packages can mend."""
    if sys.platform != "linux":
        return "hosts need Linux namespaces"
    if os.geteuid():
        return "hosts need root"
    if Path("/").stat().st_dev != Path(sys.prefix).resolve().stat().st_dev:
        return f"hosts see the file system of / alone, and {sys.prefix} is on another"
    if NO_CLUSTER:
        return NO_CLUSTER
    wanted = sorted({package for command, package in PACKAGES.items() if not shutil.which(command)})
    why = install(wanted) if wanted else ""
    return f"hosts need {', '.join(wanted)}: {why}" if why else ""


def wheels() -> Path:
    """A folder of packages that cluster.yaml installs and this environment lacks: hosts have no internet."""
    constraints = ROOT / "constraints.txt"
    key = hashlib.sha256(constraints.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"wheels-{key}"
    with one_at_a_time():
        if not folder.is_dir():
            _download(folder, constraints)
    return folder


def _download(folder: Path, constraints: Path) -> None:
    pip = [str(BIN / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    report = _output([*pip, "install", "--dry-run", "--report", "-", "-c", str(constraints), "ray[default]", "boto3"])
    packages = [found["metadata"] for found in json.loads(report)["install"]]
    pinned = [f"{package['name']}=={package['version']}" for package in packages]
    aside = folder.with_suffix(f".{os.getpid()}")
    _output([*pip, "download", "--no-deps", "-d", str(aside), *pinned, "setuptools>=77"])
    aside.rename(folder)


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise HostsError(f"hosts need packages that pip did not get: {done.stderr.strip()}")
    return done.stdout
