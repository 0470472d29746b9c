"""Cluster file for the user's own machines: cluster.yaml with another provider."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from esbn_core.errors import ConfigError
from esbn_core.yaml_files import read_yaml

HEADER = """\
# A study on your own machines: {source} with another provider, auth and sizes, made by `esbn cluster local`.
#
#   ray get-auth-token --generate       once: the token that Ray requires for every connection
#   RAY_UP_enable_autoscaler_v2=0 ray up -y {name}
#   ray exec {name} "cd ~/esbn-study && esbn run encoders --address auto --results /a/folder/all/see"
#   ray down -y {name}      stops only the head; stop the others by
#   for host in {workers}; do ssh -i {key} {user}@$host '~/venv/bin/ray stop'; done

"""


def on_premises(source: Path, head: str, workers: Sequence[str], user: str, key: str, name: str) -> str:
    """Returns the text of a cluster file with `provider: local`.

    This provider has one kind of machine, whose CPUs and GPUs Ray counts, and it keeps all workers up. So the node
    types are dropped, and the head trains packs like the workers.

    Args:
        source: the cluster file to start from; its setup, mounts and start commands are kept.
        head: address of the machine that runs the driver.
        workers: addresses of the others.
        user: user for ssh logins.
        key: path of that user's private key.
        name: name of the new file, for the commands in its first lines.
    Raises:
        ConfigError: `source` cannot be read or is not a cluster file.
    """
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 200
    yaml.indent(mapping=4, sequence=6, offset=4)
    cluster = read_yaml(source, "cluster", yaml)
    if not isinstance(cluster, CommentedMap):
        raise ConfigError(f"cluster={str(source)!r} is not a cluster file")
    for size in ("available_node_types", "head_node_type", "metadata"):
        cluster.pop(size, None)
    cluster["provider"] = CommentedMap(type="local", head_ip=head, worker_ips=list(workers))
    cluster["auth"] = CommentedMap(ssh_user=user, ssh_private_key=key)
    cluster["max_workers"] = len(workers)
    cluster.ca.comment = None  # the first lines are about the other provider
    text = StringIO()
    yaml.dump(cluster, text)
    header = HEADER.format(source=source.name, name=name, workers=" ".join(workers), key=key, user=user)
    return header + text.getvalue()
