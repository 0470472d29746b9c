"""Commands that prepare a Ray cluster."""

import json
from pathlib import Path

import click
from rich.text import Text

from esbn_core.files import write_file
from study.cli.console import console
from study.cli.options import PLACE, UserPath, path_option
from study.cli.output import answer


@click.group()
def cluster() -> None:
    """Prepare a Ray cluster, on AWS (cluster.yaml) or on your own machines.

    \b
    esbn cluster roles --results s3://BUCKET/results     create the machines' IAM roles, once per account
    esbn cluster check --results s3://BUCKET/results     check the setup before spending money
    ray up -y cluster.yaml
    """


CLUSTER = click.argument(
    "source", metavar="[CLUSTER.YAML]", type=UserPath(dir_okay=False), default=Path("cluster.yaml")
)
BUCKET = click.option("--results", type=PLACE, required=True, help="Where results will go: s3://bucket/folder.")


@cluster.command("check")
@CLUSTER
@BUCKET
def check_command(source: Path, results: str) -> None:
    """Check what CLUSTER.YAML still needs on AWS: file, token, results, credentials, profiles, quotas and price.

    Creates nothing, except a test file in the results, which it deletes. "unknown" means that your credentials may not
    ask. Exits with 1 if anything is missing.

    \b
    esbn cluster check --results s3://BUCKET/results && ray up -y cluster.yaml
    """
    from study.cluster.aws_check import check

    missing = False
    for finding in check(source, results):
        missing |= finding.status == "missing"
        style = {"ok": "green", "missing": "red", "unknown": "yellow"}[finding.status]
        console.print(Text.assemble((f"{finding.status:8}", style), (f"{finding.what:22}", "bold"), finding.text))
    raise SystemExit(int(missing))


@cluster.command("roles")
@CLUSTER
@BUCKET
@click.option("--print", "only_print", is_flag=True, help="Only print the policies, for an administrator.")
def roles_command(source: Path, results: str, only_print: bool) -> None:
    """Create or update the instance profiles that CLUSTER.YAML names, so that its machines need no keys.

    All machines may read and write the bucket of --results. The head may also start machines with the workers' role and
    stop those of its own cluster.
    """
    from study.cluster.aws_roles import TRUST, bucket_of, make, policies
    from study.cluster.config_file import read_aws

    of_file, bucket = read_aws(source), bucket_of(results)
    if only_print:
        answer(json.dumps({"trust": TRUST, "policies": policies(of_file, bucket, "ACCOUNT")}, indent=2) + "\n")
        return
    make(of_file, bucket)
    for profile in policies(of_file, bucket, ""):
        answer(f"{profile}\n")


@cluster.command("local")
@click.option("--head", required=True, help="Address of the head machine, which runs the driver.")
@click.option("--worker", "workers", multiple=True, required=True, help="Address of a worker. Can be repeated.")
@click.option("--user", default="root", show_default=True, help="User for ssh logins.")
@click.option("--key", default="~/.ssh/id_ed25519", show_default=True, help="That user's private key, on this machine.")
@path_option("--cluster", "source", default="cluster.yaml", help="Cluster file to take the setup from.")
@path_option("-o", "--output", default="local.yaml", help="Cluster file to write.")
def local(head: str, workers: tuple[str, ...], user: str, key: str, source: Path, output: Path) -> None:
    """Write a cluster file for your own machines, based on the one for AWS.

    \b
    esbn cluster local --head 10.0.0.2 --worker 10.0.0.3 --worker 10.0.0.4 --user ubuntu
    RAY_UP_enable_autoscaler_v2=0 ray up -y local.yaml
    """
    from study.cluster.local import on_premises

    text = on_premises(source, head, workers, user, key, output.name)
    try:
        write_file(output, text.encode())
    except OSError as error:
        raise click.ClickException(f"output={str(output)!r} cannot be written: {error.strerror}") from None
    answer(f"{output}\n")
