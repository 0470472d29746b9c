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
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.prefix, "bin")
NETWORK = "10.77.0."
PACKAGES = {"ip": "iproute2", "sshd": "openssh-server", "ssh": "openssh-client", "rsync": "rsync", "ps": "procps"}
NAMESPACES = ("--net", "--mount", "--pid", "--uts", "--ipc")


class HostsError(Exception):
    """Hosts cannot be made on this machine; the message says what is missing."""


class Host:
    """One machine; `Hosts` makes it."""

    def __init__(self, name: str, address: str, key: Path, shared: Path, wheels: Path):
        self.name, self.address, self.plugged = name, address, False
        script = Path(__file__).with_name("host.sh")
        made_of = [script, name, address, key, shared, wheels, sys.prefix]
        self._log = open(key.with_name(f"{name}.log"), "w+")
        self._process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                *NAMESPACES,
                "--fork",
                "--kill-child",
                "sh",
                *map(str, made_of),
            ],
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
        inside = ["nsenter", "--target", str(self.pid), *NAMESPACES, "bash", "-c", f"cd {ROOT} && {command}"]
        environment = {
            "HOME": "/home/host",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            inside,
            env=environment,
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
            process.kill()
            raise AssertionError(
                f"{self.name}: {command} took more than {timeout} s: {process.communicate()[0]}"
            ) from None
        assert not check or process.returncode == 0, f"{self.name}: {command}: {output}"
        return subprocess.CompletedProcess(command, process.returncode, output)

    def off(self) -> None:
        """Power off, without a word to anyone: the cable first, or the kernel would close its connections."""
        if self._process.poll() is None:
            if self.plugged:
                unplug = ["nsenter", "--net", "--target", str(self.pid), "ip", "link", "set", "eth0", "down"]
                subprocess.run(unplug, stderr=subprocess.DEVNULL)
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


class Hosts:
    """A laptop and more machines on one network, gone when the `with` block ends.

    Attributes:
        laptop: where a person sits; knows the others' ssh key and is no part of a cluster.
        machines: the others, by name.
        shared: the folder that all of them see as /shared.
    """

    def __init__(self, folder: Path, names: list[str]):
        why_not = missing()
        if why_not:
            raise HostsError(why_not)
        self._names, self._key, self._wheels = names, folder / "key", wheels()
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.machines: dict[str, Host] = {}
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key], check=True)

    def __enter__(self) -> "Hosts":
        try:
            self.laptop = self._boot("laptop", 1)
            self._ip("link", "add", "br0", "type", "bridge")
            self._ip("addr", "add", f"{self.laptop.address}/24", "dev", "br0")
            self._ip("link", "set", "br0", "up")
            for number, name in enumerate(self._names, start=2):
                self.machines[name] = self._boot(name, number)
                self._plug(self.machines[name])
            for host in (self.laptop, *self.machines.values()):
                host.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for host in self.machines.values():
            host.off()
        if hasattr(self, "laptop"):
            self.laptop.off()

    def _boot(self, name: str, number: int) -> Host:
        host = Host(name, f"{NETWORK}{number}", self._key, self.shared, self._wheels)
        _in_network(host, "link", "set", "lo", "up")
        return host

    def _ip(self, *arguments: str) -> None:
        _in_network(self.laptop, *arguments)

    def _plug(self, host: Host) -> None:
        port = f"to_{host.name}"
        self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", f"/proc/{host.pid}/ns/net")
        self._ip("link", "set", port, "master", "br0", "up")
        _in_network(host, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _in_network(host, "link", "set", "eth0", "up")
        host.plugged = True


def _in_network(host: Host, *arguments: str) -> None:
    subprocess.run(["nsenter", "--net", "--target", str(host.pid), "ip", *arguments], check=True)


def missing() -> str:
    """Why hosts cannot be made here, or an empty string. Installs what Debian's packages can mend."""
    if sys.platform != "linux":
        return "hosts need Linux namespaces"
    if os.geteuid():
        return "hosts need root"
    if Path("/").stat().st_dev != Path(sys.prefix).resolve().stat().st_dev:
        return f"hosts see the file system of / alone, and {sys.prefix} is on another"
    wanted = sorted({package for command, package in PACKAGES.items() if not shutil.which(command)})
    if wanted and not shutil.which("apt-get"):
        return f"hosts need {', '.join(wanted)}"
    if wanted:
        install = "apt-get -qq update && apt-get -qq install -y --no-install-recommends " + shlex.join(wanted)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(["sh", "-c", install], env=quiet, capture_output=True, text=True)
        if done.returncode:
            return f"hosts need {', '.join(wanted)}: {done.stderr.strip()}"
    return ""


def wheels() -> Path:
    """A folder of packages that cluster.yaml installs and this environment lacks: hosts have no internet."""
    constraints = ROOT / "constraints.txt"
    key = hashlib.sha256(constraints.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"wheels-{key}"
    if not folder.is_dir():
        pip = [str(BIN / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        report = _output(
            [*pip, "install", "--dry-run", "--report", "-", "-c", str(constraints), "ray[default]", "boto3"]
        )
        packages = [found["metadata"] for found in json.loads(report)["install"]]
        pinned = [f"{package['name']}=={package['version']}" for package in packages]
        aside = folder.with_suffix(f".{os.getpid()}")
        _output([*pip, "download", "--no-deps", "-d", str(aside), *pinned, "setuptools>=77"])
        aside.rename(folder)
    return folder


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise HostsError(f"hosts need packages that pip did not get: {done.stderr.strip()}")
    return done.stdout
