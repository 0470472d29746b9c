"""The cluster file for one's own machines differs from cluster.yaml only in provider, auth and sizes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from ray.autoscaler._private.util import prepare_config, validate_config
from repository import ROOT

from study.cli.main import main

CLUSTER = ROOT / "cluster.yaml"
ARGUMENTS = ["cluster", "local", "--head", "10.0.0.2", "--worker", "10.0.0.3", "--worker", "10.0.0.4", "--user", "me"]


@pytest.fixture
def local(tmp_path: Path) -> dict[str, Any]:
    output = tmp_path / "local.yaml"
    result = CliRunner().invoke(main, [*ARGUMENTS, "--cluster", str(CLUSTER), "-o", str(output)])
    assert result.exit_code == 0, result.output
    return yaml.safe_load(output.read_text())


def test_cluster_differs_only_in_provider_auth_and_sizes(local: dict[str, Any]) -> None:
    real = yaml.safe_load(CLUSTER.read_text())
    differing = {key for key in {*real, *local} if real.get(key) != local.get(key)}
    assert differing == {"provider", "auth", "available_node_types", "head_node_type", "max_workers", "metadata"}


def test_cluster_names_the_machines(local: dict[str, Any]) -> None:
    assert local["provider"] == {"type": "local", "head_ip": "10.0.0.2", "worker_ips": ["10.0.0.3", "10.0.0.4"]}
    assert local["auth"] == {"ssh_user": "me", "ssh_private_key": "~/.ssh/id_ed25519"}


def test_cluster_is_accepted_by_rays_schema(local: dict[str, Any]) -> None:
    config = prepare_config(local)
    validate_config(config)
    (node_type,) = config["available_node_types"].values()
    assert (node_type["min_workers"], node_type["max_workers"]) == (2, 2)


def test_cluster_says_so_when_there_is_none_to_start_from(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = CliRunner().invoke(main, [*ARGUMENTS, "--cluster", str(missing), "-o", str(tmp_path / "local.yaml")])
    assert result.exit_code == 1
    assert f"cluster='{missing}' cannot be read" in result.output
