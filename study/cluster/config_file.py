"""Cluster files: the parts that this project reads, and list prices of their machines."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

from esbn_core.errors import ConfigError
from esbn_core.yaml_files import read_yaml


class MachineType(NamedTuple):
    """A node type of a cluster file."""

    name: str
    instance: str
    usd_per_hour: float | None
    """On demand in us-east-1; None if unknown."""
    trains: bool
    """False for a head that only runs the driver."""


class AwsNodeType(NamedTuple):
    """A node type of a cluster file with the AWS provider."""

    instance: str
    image: str
    profile: str
    spot: bool
    most: int
    """Largest number of these at once."""


class AwsCluster(NamedTuple):
    """A cluster file with the AWS provider."""

    content: dict[str, Any]
    name: str
    region: str
    zones: list[str]
    most: int
    """Largest number of workers at once."""
    head: AwsNodeType
    workers: list[AwsNodeType]
    """One or more, all with the same profile."""


def read_machine_types(source: Path) -> tuple[list[MachineType], int]:
    """Reads the node types of a cluster file, and its largest number of workers.

    Raises:
        ConfigError: the file cannot be read, or is not a cluster file with instance types.
    """
    usd_per_hour, content = list_prices(), read_yaml(source, "cluster")
    try:
        types = []
        for name, node in content["available_node_types"].items():
            instance, trains = node["node_config"]["InstanceType"], node.get("resources", {}).get("CPU") != 0
            types.append(MachineType(name, instance, usd_per_hour.get(instance), trains))
        return types, int(content["max_workers"])
    except Exception as error:  # an invalid file can raise any exception
        raise ConfigError(f"cluster={str(source)!r} is not a cluster file with instance types: {error}") from None


def list_prices() -> dict[str, float]:
    """Reads instance type -> USD an hour, on demand in us-east-1."""
    with Path(__file__).with_name("prices.csv").open(encoding="utf-8", newline="") as file:
        return {row["instance"]: float(row["usd_per_hour"]) for row in csv.DictReader(file)}


def read_aws(source: Path) -> AwsCluster:
    """Reads a cluster file for AWS.

    Raises:
        ConfigError: it cannot be read, is not for AWS, or omits a field for which Ray's default is wrong.
    """
    content = read_yaml(source, "cluster")
    try:
        provider, most = content["provider"], int(content["max_workers"])
        if provider["type"] != "aws":
            raise ConfigError(f"cluster={str(source)!r} has the provider {provider['type']!r}; this command needs aws")
        types = {name: _node_type(node, most) for name, node in content["available_node_types"].items()}
        head = types.pop(content["head_node_type"])
        zones = [zone.strip() for zone in provider["availability_zone"].split(",")]
        region, workers = provider["region"], list(types.values())
        cluster = AwsCluster(content, content["cluster_name"], region, zones, most, head, workers)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"cluster={str(source)!r} must have a region, availability_zone, max_workers, and node types with "
            f"InstanceType, ImageId and the Name of an IamInstanceProfile: {type(error).__name__} {error}"
        ) from None
    if len(profiles := sorted({node.profile for node in cluster.workers})) != 1:
        raise ConfigError(f"cluster={str(source)!r} has workers with the profiles {profiles}; use the same for all")
    return cluster


def _node_type(node: dict[str, Any], most: int) -> AwsNodeType:
    config = node["node_config"]
    spot = config.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    profile = config["IamInstanceProfile"]["Name"]
    return AwsNodeType(config["InstanceType"], config["ImageId"], profile, spot, int(node.get("max_workers", most)))


def import_boto() -> tuple[Any, Any]:
    """Imports boto3 and its exceptions, which only users of AWS need.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import boto3
        import botocore.exceptions
    except ImportError:
        raise ConfigError("boto3 is not installed: pip install -c constraints.txt -e '.[aws]'") from None
    return boto3, botocore.exceptions
