"""AWS without AWS: moto answers its API on the laptop's network, and every instance that it runs is a host.

Machines find the API by AWS_ENDPOINT_URL, and credentials as on AWS, at the address of the instance metadata; there are
none in their files. Every request is answered, whoever makes it: that the roles are enough is another test's matter.
"""

import ctypes
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import boto3
from hosts import Hosts, stop
from survival import wait_for

REGION = "us-east-1"
BUCKET = "bucket"
NETWORK = "172.31.0.0/16"  # where moto's machines have their addresses
METADATA = "169.254.169.254"
TOKEN = "a-metadata-token"
ENDPOINT = "http://172.31.0.1"
ENVIRONMENT = {"AWS_ENDPOINT_URL": ENDPOINT}
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class Instance(NamedTuple):
    """What EC2 says of a machine."""

    name: str
    type: str
    state: str
    market: str
    address: str
    public_address: str | None
    key: str
    launched: datetime


class Metadata(BaseHTTPRequestHandler):
    """What a machine asks for the credentials of its role, by version 2 alone; moto's misses what pyarrow asks."""

    def do_PUT(self) -> None:
        self._answer(TOKEN if self.path == "/latest/api/token" else None)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            self.send_error(401)
            return
        role, zone = "/latest/meta-data/iam/security-credentials", "/latest/meta-data/placement/availability-zone"
        until = datetime.now(UTC) + timedelta(hours=6)
        keys = {"AccessKeyId": "of-the-role", "SecretAccessKey": "testing", "Token": "testing"}
        credentials = {"Code": "Success", "Type": "AWS-HMAC", "Expiration": f"{until:%Y-%m-%dT%H:%M:%SZ}", **keys}
        answers = {role: "role", f"{role}/": "role", f"{role}/role": json.dumps(credentials), zone: f"{REGION}a"}
        self._answer(answers.get(self.path))

    def _answer(self, text: str | None) -> None:
        if text is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


class Aws:
    """EC2, IAM and S3 with a bucket; boots a host for each instance that starts, and ends it with the instance."""

    def __init__(self, hosts: Hosts, folder: Path):
        self._hosts, self._folder, self._over = hosts, folder, threading.Event()
        self.laptop = hosts.laptop
        # Made once, and not in a thread: boto3 reads the environment, which pytest changes between tests.
        self._ec2, self._s3 = _client("ec2"), _client("s3")
        hosts.laptop.environment.update(KEYS)
        hosts.laptop.ip("addr", "add", f"{METADATA}/32", "dev", "br0")
        self._server = hosts.laptop.start("moto_server -H 172.31.0.1 -p 80 > /tmp/moto.log 2>&1")
        wait_for(lambda: hosts.laptop.run(f"curl -sf {ENDPOINT}/moto-api/", check=False).returncode == 0, 30)

    def __enter__(self) -> "Aws":
        # A host ends with the thread that started it, so the one that boots them lives as long as this object.
        self._inside = ThreadPoolExecutor(2, initializer=_enter_network, initargs=(self._hosts.laptop.pid,))
        self.ask(lambda: self._s3.create_bucket(Bucket=BUCKET))
        self._metadata = self.ask(lambda: ThreadingHTTPServer((METADATA, 80), Metadata))
        threading.Thread(target=self._metadata.serve_forever, daemon=True).start()
        self._keeper = self._inside.submit(self._keep)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._inside.shutdown()
        self._metadata.shutdown()
        self._metadata.server_close()
        stop(self._server)
        if not error[0]:
            self._keeper.result()

    def ask(self, question: Callable[[], T]) -> T:
        """Calls a function in a thread that is on the laptop's network."""
        return self._inside.submit(question).result()

    def instances(self, *states: str) -> list[Instance]:
        """Machines in one of these states."""
        if self._keeper.done():
            self._keeper.result()  # raises what went wrong
        return [instance for instance in self.ask(self._instances) if instance.state in states]

    def reclaim(self, name: str) -> None:
        """Takes a spot machine back, at once."""
        self.ask(lambda: self._ec2.terminate_instances(InstanceIds=[name]))

    def objects(self, prefix: str) -> list[datetime]:
        """When each object of the bucket under a prefix was last written, leaving out what stands for a folder."""
        found = self.ask(lambda: self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix))
        return [each["LastModified"] for each in found.get("Contents", ()) if not each["Key"].endswith("/")]

    def _instances(self) -> list[Instance]:
        reservations = self._ec2.describe_instances()["Reservations"]
        return [
            Instance(
                i["InstanceId"],
                i["InstanceType"],
                i["State"]["Name"],
                i.get("InstanceLifecycle", "on-demand"),
                i.get("PrivateIpAddress", ""),
                i.get("PublicIpAddress"),
                i.get("KeyName", ""),
                i["LaunchTime"],
            )
            for reservation in reservations
            for i in reservation["Instances"]
        ]

    def _keep(self) -> None:
        there: set[str] = set()
        while not self._over.wait(0.3):
            for instance in self._instances():
                if instance.state == "running" and instance.name not in there:
                    there.add(instance.name)
                    key = self._public_key(instance.key)
                    self._hosts.boot(instance.name, instance.address, key, instance.public_address)
                elif instance.state == "terminated" and instance.name in there:
                    there.remove(instance.name)
                    self._hosts.off(instance.name)

    def _public_key(self, name: str) -> Path:
        path = self._folder / f"{name}.pub"
        pairs = self._ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
        path.write_text(pairs[0]["PublicKey"] + "\n")
        return path


def _client(service: str) -> Any:
    keys = {name.lower(): value for name, value in KEYS.items()}
    return boto3.client(service, region_name=REGION, endpoint_url=ENDPOINT, **keys)


def _enter_network(pid: int) -> None:
    """Moves the calling thread alone, and the sockets that it opens from now on, to the network of a process."""
    with open(f"/proc/{pid}/ns/net") as network:
        if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns", os.strerror(ctypes.get_errno()))
