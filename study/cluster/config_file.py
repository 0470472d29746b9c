"""What there is to know of a cluster file for AWS, and the library that asks AWS about it."""

from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from esbn_core.errors import ConfigError


class NodeType(NamedTuple):
    """A kind of machine."""

    instance: str
    image: str
    profile: str
    spot: bool
    most: int
    """Of these at once."""


class AwsCluster(NamedTuple):
    """A Ray cluster file with the AWS provider."""

    content: dict[str, Any]
    name: str
    region: str
    zones: list[str]
    most: int
    """Workers at once."""
    head: NodeType
    workers: list[NodeType]
    """One or more, all with the same profile."""


def read(source: Path) -> AwsCluster:
    """Reads a cluster file.

    Raises:
        ConfigError: it cannot be read, is not for AWS, or leaves to Ray what its default is wrong for.
    """
    try:
        content = YAML(typ="safe", pure=True).load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, YAMLError) as error:
        raise ConfigError(f"cluster={str(source)!r} cannot be read: {error}") from None
    try:
        provider, most = content["provider"], int(content["max_workers"])
        if provider["type"] != "aws":
            raise ConfigError(f"cluster={str(source)!r} has the provider {provider['type']!r}; this is about aws")
        types = {name: _node_type(node, most) for name, node in content["available_node_types"].items()}
        head = types.pop(content["head_node_type"])
        zones = [zone.strip() for zone in provider["availability_zone"].split(",")]
        region, workers = provider["region"], list(types.values())
        cluster = AwsCluster(content, content["cluster_name"], region, zones, most, head, workers)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"cluster={str(source)!r} must have a region, availability_zone, max_workers, and node types with "
            f"InstanceType, ImageId and the Name of an IamInstanceProfile: {type(error).__name__} {error}"
        ) from None
    if len(profiles := sorted({node.profile for node in cluster.workers})) != 1:
        raise ConfigError(f"cluster={str(source)!r} has workers with the profiles {profiles}; give all of them one")
    return cluster


def _node_type(node: dict[str, Any], most: int) -> NodeType:
    config = node["node_config"]
    spot = config.get("InstanceMarketOptions", {}).get("MarketType") == "spot"
    profile = config["IamInstanceProfile"]["Name"]
    return NodeType(config["InstanceType"], config["ImageId"], profile, spot, int(node.get("max_workers", most)))


def import_boto() -> tuple[Any, Any]:
    """boto3 and its exceptions, which only those need who use AWS.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import boto3
        import botocore.exceptions
    except ImportError:
        raise ConfigError("boto3 is not installed: pip install -c constraints.txt -e '.[aws]'") from None
    return boto3, botocore.exceptions
