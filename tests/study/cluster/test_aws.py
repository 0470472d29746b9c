"""cluster.yaml on AWS, as moto simulates it in this process: what Ray makes of the file, what the roles allow, what the
check finds. Each promise is also tried on a file that breaks it."""

import copy
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import moto
import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner
from moto.core import set_initial_no_auth_action_count
from ray.autoscaler._private.aws import utils as ray_aws_utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider, list_ec2_instances
from ray.autoscaler._private.util import hash_launch_conf, prepare_config, validate_config
from ray.autoscaler.tags import (
    TAG_RAY_LAUNCH_CONFIG,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_USER_NODE_TYPE,
)
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated import autoscaler_pb2, instance_manager_pb2
from repository import ROOT
from s3 import bucket_uri

from study.cli.main import main
from study.cluster.aws_check import Finding, _Aws, check
from study.cluster.aws_roles import make
from study.cluster.config_file import read_aws

pytestmark = pytest.mark.slow

CLUSTER = ROOT / "cluster.yaml"
WORKERS = {"gpu.l4.on_demand", "gpu.l4.spot", "gpu.a10g.spot"}
Cluster = dict[str, Any]

instance_types = functools.cache(list_ec2_instances)  # which takes moto seconds, and never changes


@pytest.fixture
def cluster() -> Cluster:
    return yaml.safe_load(CLUSTER.read_text())


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty account, in which everything is allowed, and an empty home."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    ray_aws_utils.resource_cache.cache_clear()  # of an earlier account
    ray_aws_utils.client_cache.cache_clear()
    monkeypatch.setattr("ray.autoscaler._private.aws.config.time.sleep", lambda seconds: None)  # Ray waits for IAM
    monkeypatch.setattr("ray.autoscaler._private.aws.node_provider.list_ec2_instances", instance_types)
    with moto.mock_aws():
        yield


def prepared(cluster: Cluster) -> Cluster:
    """The cluster as `ray up` and the head know it: Ray's schema, resources by EC2, keys, subnets, security groups."""
    config = prepare_config(cluster)
    validate_config(config)
    config = AWSNodeProvider.fillout_available_node_types_resources(config)
    validate_config(config)
    return AWSNodeProvider.bootstrap_config(config)


def start(config: Cluster, name: str) -> dict[str, Any]:
    """A machine of this type, as EC2 describes it."""
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    node = config["available_node_types"][name]["node_config"]
    tags = {
        TAG_RAY_NODE_KIND: "head" if name == config["head_node_type"] else "worker",
        TAG_RAY_USER_NODE_TYPE: name,
        TAG_RAY_NODE_NAME: name,
        TAG_RAY_LAUNCH_CONFIG: hash_launch_conf(node, config["auth"]),
    }
    (instance,) = provider.create_node(node, tags, 1)
    (found,) = boto3.client("ec2", "us-east-1").describe_instances(InstanceIds=[instance])["Reservations"]
    return found["Instances"][0]


def broken_promises(cluster: Cluster) -> set[str]:
    """What the comments of cluster.yaml promise and these machines do not keep."""
    config = prepared(cluster)
    types, head = config["available_node_types"], config["head_node_type"]
    made = {name: start(config, name) for name in types}
    ec2 = boto3.client("ec2", "us-east-1")
    disks = {disk["Attachments"][0]["InstanceId"]: disk for disk in ec2.describe_volumes()["Volumes"]}
    (group,) = (g for g in ec2.describe_security_groups()["SecurityGroups"] if g["GroupName"] == "esbn")
    open_ports = [(rule["FromPort"], rule["ToPort"]) for rule in group["IpPermissions"] if rule["IpRanges"]]
    setup, starts = "\n".join(config["setup_commands"]), "\n".join(config["head_start_ray_commands"])
    tags = {name: {tag["Key"]: tag["Value"] for tag in machine["Tags"]} for name, machine in made.items()}
    kept = {
        "the head takes no packs": types[head]["resources"] == {"CPU": 0} and not types[head]["max_workers"],
        "workers start from zero": {types[name]["min_workers"] for name in WORKERS} == {0},
        "a worker has one GPU": {types[name]["resources"].get("GPU") for name in WORKERS} == {1},
        "Ray tells L4 from A10G": all(
            f"accelerator_type:{name.split('.')[1].upper()}" in types[name]["resources"] for name in WORKERS
        ),
        "workers are spot but for one type": {
            name for name, machine in made.items() if machine.get("InstanceLifecycle") != "spot"
        }
        == {head, "gpu.l4.on_demand"},
        "on demand is off": types["gpu.l4.on_demand"]["max_workers"] == 0,
        "at most 8": config["max_workers"] == 8 == sum(types[name]["max_workers"] for name in WORKERS),
        "idle machines go": 0 < config["idle_timeout_minutes"] <= 10 and not config["provider"]["cache_stopped_nodes"],
        "image with Python and driver": {machine["ImageId"] for machine in made.values()}
        == {"resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"},
        "room for image and torch": {disks[m["InstanceId"]]["Size"] for m in made.values()} == {120},
        "disks go with the machine": all(
            m["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] for m in made.values()
        ),
        "head has its own profile": {name: types[name]["node_config"]["IamInstanceProfile"]["Name"] for name in made}
        == {head: "esbn-head"} | dict.fromkeys(WORKERS, "esbn-worker"),
        "metadata only by token": {m["MetadataOptions"]["HttpTokens"] for m in made.values()} == {"required"},
        "open to others on port 22": open_ports == [(22, 22)]
        and {g["GroupId"] for m in made.values() for g in m["SecurityGroups"]} == {group["GroupId"]},
        "tagged": all(
            tags[name]["ray-cluster-name"] == "esbn" and tags[name][TAG_RAY_USER_NODE_TYPE] == name for name in made
        ),
        "all have the token": config["file_mounts"].get("~/.ray/auth_token") == "~/.ray/auth_token"
        and "RAY_AUTH_MODE=token" in setup,
        "the dashboard is private": "--dashboard-host=127.0.0.1" in starts,
        "all install the same": "-c ~/esbn-study/constraints.txt -e ~/esbn-study[aws]" in setup
        and config["file_mounts"]["~/esbn-study"] == "."
        and not any("setup_commands" in key for node in types.values() for key in node),
    }
    return {promise for promise, is_kept in kept.items() if not is_kept}


@pytest.mark.usefixtures("aws")
def test_cluster_keeps_its_promises(cluster: Cluster) -> None:
    make_profiles()
    assert broken_promises(cluster) == set()


def node(cluster: Cluster, name: str = "gpu.l4.spot") -> dict[str, Any]:
    return cluster["available_node_types"][name]


def settings(cluster: Cluster, name: str = "gpu.l4.spot") -> dict[str, Any]:
    """Of this type alone; YAML shares them between types."""
    node(cluster, name)["node_config"] = copy.deepcopy(node(cluster, name)["node_config"])
    return node(cluster, name)["node_config"]


def change(command: str, old: str, new: str) -> Callable[[Cluster], None]:
    def changed(cluster: Cluster) -> None:
        assert any(old in line for line in cluster[command])
        cluster[command] = [line.replace(old, new) for line in cluster[command]]

    return changed


FAULTS: dict[str, tuple[str, Callable[[Cluster], Any]]] = {
    "packs on the head": ("the head takes no packs", lambda c: node(c, "head.cpu").update(resources={})),
    "a machine kept": ("workers start from zero", lambda c: node(c).update(min_workers=1)),
    "four GPUs": ("a worker has one GPU", lambda c: settings(c).update(InstanceType="g6.12xlarge")),
    "another GPU": ("Ray tells L4 from A10G", lambda c: settings(c).update(InstanceType="g4dn.xlarge")),
    "no spot": ("workers are spot but for one type", lambda c: settings(c).pop("InstanceMarketOptions")),
    "on demand": ("on demand is off", lambda c: node(c, "gpu.l4.on_demand").update(max_workers=1)),
    "too many": ("at most 8", lambda c: c.update(max_workers=80)),
    "stopped, not ended": ("idle machines go", lambda c: c["provider"].update(cache_stopped_nodes=True)),
    "idle for a day": ("idle machines go", lambda c: c.update(idle_timeout_minutes=1440)),
    "Ray's image": ("image with Python and driver", lambda c: settings(c).pop("ImageId")),
    "small disk": (
        "room for image and torch",
        lambda c: settings(c)["BlockDeviceMappings"][0]["Ebs"].update(VolumeSize=30),
    ),
    "disk left behind": (
        "disks go with the machine",
        lambda c: settings(c)["BlockDeviceMappings"][0]["Ebs"].update(DeleteOnTermination=False),
    ),
    "head's profile": (
        "head has its own profile",
        lambda c: settings(c).update(IamInstanceProfile={"Name": "esbn-head"}),
    ),
    "metadata open": (
        "metadata only by token",
        lambda c: settings(c)["MetadataOptions"].update(HttpTokens="optional"),
    ),
    "dashboard's port": (
        "open to others on port 22",
        lambda c: c["provider"]["security_group"].update(
            IpPermissions=[
                {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
            ]
        ),
    ),
    "another cluster's name": ("tagged", lambda c: c.update(cluster_name="other")),
    "no token": ("all have the token", lambda c: c["file_mounts"].pop("~/.ray/auth_token")),
    "token not asked": ("all have the token", change("setup_commands", "RAY_AUTH_MODE=token", "")),
    "public dashboard": ("the dashboard is private", change("head_start_ray_commands", "127.0.0.1", "0.0.0.0")),
    "no pins": ("all install the same", change("setup_commands", "-c ~/esbn-study/constraints.txt", "")),
    "one type's own setup": ("all install the same", lambda c: node(c).update(worker_setup_commands=["true"])),
}


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(("promise", "fault"), FAULTS.values(), ids=FAULTS)
def test_cluster_is_caught_when_it_breaks_a_promise(
    cluster: Cluster, promise: str, fault: Callable[[Cluster], Any]
) -> None:
    make_profiles()
    fault(cluster)
    assert promise in broken_promises(cluster)


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (lambda c: c.update(max_worker=3), "max_worker"),
        (lambda c: c.update({"x-sizes": {}}), "x-sizes"),
        (lambda c: node(c).update(spot=True), "spot"),
        (lambda c: settings(c).update(InstanceType="g6.tiny"), "g6.tiny"),
    ],
    ids=["misspelt", "own key", "unknown setting", "no such machine"],
)
def test_cluster_is_refused_by_ray(cluster: Cluster, fault: Callable[[Cluster], Any], word: str) -> None:
    fault(cluster)
    with pytest.raises(Exception, match=word):
        prepared(cluster)


def wanted(cluster: Cluster, packs: int, *events: tuple[str, str]) -> dict[str, int]:
    """Which machines Ray's autoscaler asks for, after these events of types, for packs that wait for a GPU each."""
    config = AutoscalingConfig(cluster, skip_content_hash=True)
    monitor = CloudResourceMonitor()
    states: Any = instance_manager_pb2
    for name, event in events:
        status = getattr(states.Instance, event)
        update = states.InstanceUpdateEvent(instance_id="any", instance_type=name, new_instance_status=status)
        monitor.notify([update])
    demands: Any = autoscaler_pb2
    waiting = demands.ResourceRequestByCount(request=ResourceRequestUtil.make({"CPU": 1, "GPU": 1}), count=packs)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=cluster["max_workers"],  # without the head, which runs already
        resource_requests=[waiting],
        cloud_resource_availabilities=monitor.get_resource_availabilities(),
        recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
    )
    return {launch.instance_type: launch.count for launch in ResourceDemandScheduler().schedule(request).to_launch}


@pytest.mark.usefixtures("aws")
def test_autoscaler_takes_types_by_priority_and_on_demand_only_when_told(cluster: Cluster) -> None:
    config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(cluster))
    types = config["available_node_types"]
    assert wanted(config, 0) == {}
    assert wanted(config, 3) == {"gpu.l4.spot": 3}
    assert wanted(config, 100) == {"gpu.l4.spot": 4, "gpu.a10g.spot": 4}
    types["gpu.l4.on_demand"]["max_workers"] = 4
    assert wanted(config, 100) == {"gpu.l4.spot": 4, "gpu.a10g.spot": 4}
    types["gpu.a10g.spot"]["max_workers"] = 0
    assert wanted(config, 100) == {"gpu.l4.spot": 4, "gpu.l4.on_demand": 4}


@pytest.mark.usefixtures("aws")
def test_autoscaler_asks_again_for_a_type_that_ec2_refused(cluster: Cluster) -> None:
    """Once this fails, Ray goes on to the next type by itself, and cluster.yaml can say so and turn on demand on."""
    config = AWSNodeProvider.fillout_available_node_types_resources(prepare_config(cluster))
    assert wanted(config, 3, ("gpu.l4.spot", "ALLOCATION_FAILED")) == {"gpu.l4.spot": 3}
    assert wanted(config, 3, ("gpu.l4.spot", "ALLOCATION_TIMEOUT")) == {"gpu.a10g.spot": 3}


def make_profiles() -> None:
    make(read_aws(CLUSTER), "bucket")


def acting_as(profile: str, service: str) -> Any:
    """A client with the rights of the machines of a profile, as their role gives them."""
    (role,) = boto3.client("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    given = boto3.client("sts", "us-east-1").assume_role(RoleArn=role["Arn"], RoleSessionName="any")["Credentials"]
    return boto3.client(service, "us-east-1", **keys(given))


def keys(credentials: dict[str, str]) -> dict[str, str]:
    return {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }


@pytest.mark.usefixtures("aws")
def test_head_starts_and_ends_workers_with_its_role_alone(cluster: Cluster) -> None:
    make_profiles()
    config = prepared(cluster)
    role = boto3.client("iam").get_role(RoleName="esbn-head")["Role"]["Arn"]
    given = boto3.client("sts", "us-east-1").assume_role(RoleArn=role, RoleSessionName="head")["Credentials"]
    config["provider"]["aws_credentials"] = keys(given)
    node_config, tags = node(config)["node_config"], {TAG_RAY_NODE_KIND: "worker", TAG_RAY_NODE_NAME: "worker"}

    @set_initial_no_auth_action_count(0)
    def act() -> None:
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        (instance,) = provider.create_node(node_config, {**tags, TAG_RAY_LAUNCH_CONFIG: "any"}, 1)
        assert provider.non_terminated_nodes({}) == [instance]
        provider.set_node_tags(instance, {"ray-node-status": "up-to-date"})
        provider.terminate_nodes([instance])
        assert provider.non_terminated_nodes({}) == []

    act()


@pytest.mark.usefixtures("aws")
def test_roles_allow_the_results_and_no_more() -> None:
    make_profiles()
    for bucket in ("bucket", "another"):
        boto3.client("s3", "us-east-1").create_bucket(Bucket=bucket)
    clients = {profile: acting_as(profile, "s3") for profile in ("esbn-head", "esbn-worker")}
    worker, head = acting_as("esbn-worker", "ec2"), acting_as("esbn-head", "iam")

    @set_initial_no_auth_action_count(0)
    def act() -> None:
        for s3 in clients.values():
            s3.put_object(Bucket="bucket", Key="results/row", Body=b"1")
            assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 1
            s3.delete_object(Bucket="bucket", Key="results/row")
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.put_object(Bucket="another", Key="row", Body=b"1")
        with pytest.raises(ClientError, match="not authorized to perform: ec2:RunInstances"):
            worker.run_instances(ImageId="ami-03cf127a", MinCount=1, MaxCount=1)
        with pytest.raises(ClientError, match="AccessDenied"):
            head.create_user(UserName="me")

    act()


@pytest.mark.usefixtures("aws")
def test_roles_can_be_made_again_and_take_up_another_bucket() -> None:
    for bucket in ("one", "two"):
        make(read_aws(CLUSTER), bucket)
    iam = boto3.client("iam")
    for role in ("esbn-head", "esbn-worker"):
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        text = json.dumps(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])
        assert "arn:aws:s3:::two/*" in text
        assert "one" not in text


def test_roles_print_what_an_administrator_needs() -> None:
    result = CliRunner().invoke(main, ["cluster", "roles", str(CLUSTER), "--results", "s3://bucket/x", "--print"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    assert set(printed["policies"]) == {"esbn-head", "esbn-worker"}
    assert "ec2.amazonaws.com" in json.dumps(printed["trust"])


@pytest.fixture
def findings(s3: str, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Finding]]:
    """What the check finds, by what it looks at; the image is one that moto knows."""
    path = tmp_path / "cluster.yaml"
    deep = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
    known = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    path.write_text(CLUSTER.read_text().replace(deep, known))
    results = bucket_uri(s3, "checked")
    return lambda: {finding.what: finding for finding in check(path, results)}


def missing(found: dict[str, Finding]) -> set[str]:
    return {finding.what for finding in found.values() if finding.status == "missing"}


def test_check_finds_what_is_missing_until_it_is_there(
    findings: Callable[[], dict[str, Finding]], tmp_path: Path
) -> None:
    assert missing(findings()) == {"token", "profile esbn-head", "profile esbn-worker"}
    make_profiles()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    found = findings()
    assert missing(found) == set()
    unknown = {finding.what for finding in found.values() if finding.status == "unknown"}
    assert unknown == {"quota, spot GPUs", "quota, head"}
    assert found["image"].text.startswith("ami-")
    assert "secret" not in str(found)
    assert "32 vCPUs" in found["quota, spot GPUs"].text
    assert "0.10 for the head alone, at most 7.34 with 8" in found["price"].text  # 4 x 1.006 + 4 x 0.8048 + 0.096


@pytest.mark.parametrize(
    ("role", "action"), [("esbn-head", "iam:PassRole"), ("esbn-head", "ec2:RunInstances")], ids=["pass", "start"]
)
def test_check_finds_a_head_without_its_rights(
    findings: Callable[[], dict[str, Finding]], role: str, action: str
) -> None:
    make_profiles()
    iam = boto3.client("iam")
    document = iam.get_role_policy(RoleName=role, PolicyName="esbn-study")["PolicyDocument"]
    document["Statement"] = [s for s in document["Statement"] if action not in s["Action"]]
    iam.put_role_policy(RoleName=role, PolicyName="esbn-study", PolicyDocument=json.dumps(document))
    found = findings()["head's rights"]
    assert found.status == "missing"
    assert action in found.text
    everything = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    policy = iam.create_policy(PolicyName="everything", PolicyDocument=json.dumps(everything))["Policy"]
    iam.attach_role_policy(RoleName=role, PolicyArn=policy["Arn"])
    assert findings()["head's rights"].status == "ok"


def test_check_says_what_it_may_not_ask(
    findings: Callable[[], dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user without any right but to be there."""
    iam = boto3.client("iam")
    iam.create_user(UserName="student")
    key = iam.create_access_key(UserName="student")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which keeps the keys it found
    found = set_initial_no_auth_action_count(0)(findings)()
    assert found["credentials"].status == "ok"
    for what in ("machines", "profile esbn-head", "head's rights"):
        assert found[what].status == "unknown"
        assert "you may not ask AWS" in found[what].text


@pytest.mark.parametrize(("granted", "state"), [(31, "missing"), (32, "ok")])
@pytest.mark.usefixtures("aws")
def test_check_compares_the_quota_with_all_machines_at_once(granted: int, state: str) -> None:
    aws = _Aws(read_aws(CLUSTER), boto3, botocore.exceptions)
    quotas = boto3.client("service-quotas", "us-east-1")
    ec2 = boto3.client("ec2", "us-east-1")
    aws._client = lambda service: quotas if service == "service-quotas" else ec2
    with Stubber(quotas) as stub:
        stub.add_response("get_service_quota", {"Quota": {"Value": float(granted)}})
        found = aws._quota("spot GPUs", "L-3819A6DF")
    assert found[0] == state
    assert str(granted) in found[1]


@pytest.mark.usefixtures("aws")
def test_check_exits_with_1_and_tells_a_disk_from_a_bucket(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["cluster", "check", str(CLUSTER), "--results", str(tmp_path / "here")])
    assert result.exit_code == 1
    assert f"{tmp_path / 'here'} is on this machine" in result.output
    assert not (tmp_path / "here").exists()


def test_check_says_how_to_install_boto3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    result = CliRunner().invoke(main, ["cluster", "check", str(CLUSTER), "--results", str(tmp_path)])
    assert result.exit_code == 1
    assert "boto3 is not installed: pip install -c constraints.txt -e '.[aws]'" in result.output


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "must have a region"),
        ("a: [", "cannot be read"),
        ("provider: {type: local}\nmax_workers: 1", "has the provider 'local'"),
        ("provider: {type: aws}\nmax_workers: 1", "must have a region"),
    ],
)
def test_check_refuses_what_is_no_cluster_file_for_aws(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(text)
    result = CliRunner().invoke(main, ["cluster", "check", str(path), "--results", "s3://bucket/results"])
    assert result.exit_code == 1
    assert word in result.output
    assert "Traceback" not in result.output
