"""cluster.yaml is accepted by Ray's own checks and keeps what the project promises of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    path = Path(__file__).parents[1] / "cluster.yaml"
    config = prepare_config(yaml.safe_load(path.read_text()))
    validate_config(config)
    return config


def test_cluster_is_refused_by_rays_schema_when_a_key_is_misspelt(cluster: dict[str, Any]) -> None:
    wrong = {**cluster, "max_worker": 3}
    with pytest.raises(Exception, match="max_worker"):
        validate_config(wrong)


def test_cluster_head_takes_no_packs(cluster: dict[str, Any]) -> None:
    assert cluster["available_node_types"][cluster["head_node_type"]]["resources"]["CPU"] == 0


def test_cluster_workers_are_spot_and_start_from_zero(cluster: dict[str, Any]) -> None:
    workers = [t for name, t in cluster["available_node_types"].items() if name != cluster["head_node_type"]]
    assert workers
    for worker in workers:
        assert worker["min_workers"] == 0
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_cluster_machines_have_an_image_and_a_profile(cluster: dict[str, Any]) -> None:
    for node_type in cluster["available_node_types"].values():
        assert node_type["node_config"]["ImageId"]
        assert node_type["node_config"]["IamInstanceProfile"]["Name"].startswith("esbn-")


def test_cluster_installs_the_pinned_project_and_asks_for_the_token(cluster: dict[str, Any]) -> None:
    setup = "\n".join(cluster["setup_commands"])
    assert "-c ~/esbn-study/constraints.txt -e ~/esbn-study" in setup
    assert "RAY_AUTH_MODE=token" in setup
    assert cluster["file_mounts"]["~/esbn-study"] == "."
