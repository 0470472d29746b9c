"""Instance profiles named in cluster.yaml: the AWS permissions of its machines, without keys in files."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from esbn_core.errors import ConfigError
from study.cluster.config_file import AwsCluster, import_boto

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def bucket_of(results: str) -> str:
    """Returns the bucket that a URI of results names; raises `ConfigError` if it names none."""
    parts = urlsplit(results)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"results={results!r} has no bucket; write s3://bucket/folder")
    return parts.netloc


def policies(cluster: AwsCluster, bucket: str, account: str) -> dict[str, dict[str, Any]]:
    """Returns profile -> policy of its role.

    All machines read and write the bucket. The head also starts machines, gives them the workers' role and no other,
    and stops those that carry the tag of this cluster.
    """
    results = [
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}"),
        _allow(
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], f"arn:aws:s3:::{bucket}/*"
        ),
    ]
    machines = [
        _allow(["ec2:Describe*", "ec2:RunInstances", "ec2:CreateTags"], "*"),
        _allow(["ec2:TerminateInstances"], "*", {"aws:ResourceTag/ray-cluster-name": cluster.name}),
        _allow(["ssm:GetParameters"], "arn:aws:ssm:*::parameter/aws/service/*"),  # ImageId: resolve:ssm:...
        _allow(["iam:PassRole"], f"arn:aws:iam::{account}:role/{cluster.workers[0].profile}"),
        _allow(["iam:CreateServiceLinkedRole"], "*", {"iam:AWSServiceName": "spot.amazonaws.com"}),
    ]
    return {
        cluster.head.profile: {"Version": "2012-10-17", "Statement": [*results, *machines]},
        cluster.workers[0].profile: {"Version": "2012-10-17", "Statement": results},
    }


def make(cluster: AwsCluster, bucket: str) -> None:
    """Creates both profiles, each with a role of the same name, or updates their policies.

    Raises:
        ConfigError: boto3 is not installed, or AWS rejects a request.
    """
    boto3, errors = import_boto()
    try:
        iam = boto3.client("iam", region_name=cluster.region)
        account = boto3.client("sts", region_name=cluster.region).get_caller_identity()["Account"]
        there = (iam.exceptions.EntityAlreadyExistsException, iam.exceptions.LimitExceededException)
        for name, policy in policies(cluster, bucket, account).items():
            for call, arguments in (
                (iam.create_role, {"RoleName": name, "AssumeRolePolicyDocument": json.dumps(TRUST)}),
                (iam.create_instance_profile, {"InstanceProfileName": name}),
                (iam.add_role_to_instance_profile, {"InstanceProfileName": name, "RoleName": name}),
            ):
                try:
                    call(**arguments)
                except there:
                    pass
            iam.put_role_policy(RoleName=name, PolicyName="esbn-study", PolicyDocument=json.dumps(policy))
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise ConfigError(f"AWS did not make the profiles: {error}; --print shows them for an administrator") from None


def _allow(actions: list[str], resource: str, equal: Mapping[str, str] | None = None) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": actions, "Resource": resource}
    return {**statement, "Condition": {"StringEquals": dict(equal)}} if equal else statement
