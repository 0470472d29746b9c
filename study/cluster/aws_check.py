"""Check of a cluster file, the results and the AWS account for anything missing, before any machine is paid for."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from esbn_core.errors import ConfigError
from study.cluster.config_file import AwsCluster, import_boto, list_prices, read_aws
from study.store.errors import StoreError
from study.store.store import Store

TOKEN = Path("~/.ray/auth_token")
SSM = "resolve:ssm:"
ROLES = "esbn cluster roles"
QUOTAS = {  # in vCPUs
    "spot GPUs": "L-3819A6DF",  # All G and VT Spot Instance Requests
    "on-demand GPUs": "L-DB2E81BA",  # Running On-Demand G and VT instances
    "head": "L-1216C47A",  # Running On-Demand Standard instances
}
REFUSED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
EXPIRED = ("ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "AuthFailure")

FindingStatus = Literal["ok", "missing", "unknown"]


class Finding(NamedTuple):
    """One line of the check."""

    what: str
    status: FindingStatus
    text: str
    """What was found; unless ok, what to do."""


def check(source: Path, results: str) -> Iterator[Finding]:
    """Checks everything that `ray up` and a study on the cluster need, in the order in which a user sets it up.

    Changes nothing, except for a probe in the results, which is deleted again.

    Raises:
        ConfigError: the cluster file cannot be read or is not for AWS.
    """
    cluster = read_aws(source)
    yield _schema(cluster)
    yield _token()
    yield _results(results)
    try:
        boto3, errors = import_boto()
    except ConfigError as error:
        yield Finding("AWS", "missing", str(error))
    else:
        yield from _Aws(cluster, boto3, errors).findings()
    yield _price(cluster)


def _schema(cluster: AwsCluster) -> Finding:
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(cluster.content))
    except Exception as error:  # Ray can raise anything
        return Finding("cluster file", "missing", f"Ray rejects it: {str(error).splitlines()[0]}")
    return Finding("cluster file", "ok", "Ray accepts it")


def _token() -> Finding:
    if TOKEN.expanduser().is_file() and TOKEN.expanduser().stat().st_size:
        return Finding("token", "ok", f"{TOKEN}; Ray requires it for every connection")
    return Finding("token", "missing", f"{TOKEN} not found: ray get-auth-token --generate")


def _results(results: str) -> Finding:
    try:
        store = Store(results)
        if store.local:
            return Finding("results", "missing", f"{store.uri} is on this machine: --results s3://bucket/folder")
        store.prepare()
    except StoreError as error:
        return Finding("results", "missing", str(error))
    return Finding("results", "ok", f"{store.uri} can be written from here")


def _price(cluster: AwsCluster) -> Finding:
    """Prices the head and the most expensive set of workers that can run at once."""
    known = list_prices()
    head, workers = cluster.head.instance, [node.instance for node in cluster.workers for _ in range(node.most)]
    if unlisted := sorted({head, *workers} - set(known)):
        return Finding(
            "price", "unknown", f"no list price of {', '.join(unlisted)}: add it to study/cluster/prices.csv"
        )
    each = sorted((known[instance] for instance in workers), reverse=True)[: cluster.most]
    return Finding(
        "price",
        "ok",
        f"USD an hour: {known[head]:.2f} for the head alone, at most {known[head] + sum(each):.2f} with {len(each)} "
        "GPU machines; on-demand list prices of us-east-1 without disks and traffic; spot is cheaper",
    )


class _Aws:
    """Queries to AWS with the user's own credentials."""

    def __init__(self, cluster: AwsCluster, boto3: Any, errors: Any):
        from botocore.config import Config

        self._cluster, self._errors = cluster, errors
        settings = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 2})
        self._client = lambda service: boto3.client(service, region_name=cluster.region, config=settings)

    def findings(self) -> Iterator[Finding]:
        """Yields the findings from AWS; without credentials, only that they are missing."""
        caller = self._ask("credentials", lambda: ("ok", self._client("sts").get_caller_identity()["Arn"]))
        yield caller
        if caller.status != "ok":
            yield Finding("AWS", "unknown", "cannot be checked without credentials")
            return
        yield self._ask("machines", self._machines)
        yield self._ask("image", self._image)
        for profile in (self._cluster.head.profile, self._cluster.workers[0].profile):
            yield self._ask(f"profile {profile}", partial(self._profile, profile))
        yield self._ask("head's rights", self._head_rights)
        for machines, code in QUOTAS.items():
            yield self._ask(f"quota, {machines}", partial(self._quota, machines, code))

    def _ask(self, what: str, question: Callable[[], tuple[FindingStatus, str]]) -> Finding:
        try:
            return Finding(what, *question())
        except self._errors.ClientError as error:
            code = error.response["Error"]["Code"]
            if code in EXPIRED:
                return Finding(what, "missing", f"AWS rejects the credentials ({code}): aws configure")
            if code in REFUSED:
                return Finding(what, "unknown", f"you may not ask AWS ({code}); ask the administrator")
            return Finding(what, "missing", str(error))
        except self._errors.NoCredentialsError:
            return Finding(what, "missing", "none found: aws configure, or set AWS_ACCESS_KEY_ID etc.")
        except self._errors.BotoCoreError as error:
            return Finding(what, "unknown", str(error))

    def _machines(self) -> tuple[FindingStatus, str]:
        """Checks that the zones offer the instance types and have a network in which Ray can start them."""
        ec2 = self._client("ec2")
        zones = self._cluster.zones
        subnets = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": zones}])["Subnets"]
        public = {subnet["AvailabilityZone"] for subnet in subnets if subnet["MapPublicIpOnLaunch"]}
        if not public:
            return "missing", f"no public subnet in {', '.join(zones)}: aws ec2 create-default-vpc, or use other zones"
        for instance in sorted({self._cluster.head.instance, *(n.instance for n in self._cluster.workers if n.most)}):
            offered = ec2.describe_instance_type_offerings(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance]}]
            )["InstanceTypeOfferings"]
            if public.isdisjoint(offer["Location"] for offer in offered):
                return "missing", f"no {instance} in {', '.join(sorted(public))}: use another region or type"
        return "ok", f"offered in {', '.join(sorted(public))}"

    def _image(self) -> tuple[FindingStatus, str]:
        images = {node.image for node in (self._cluster.head, *self._cluster.workers)}
        parameters = sorted(image.removeprefix(SSM) for image in images if image.startswith(SSM))
        answer = self._client("ssm").get_parameters(Names=parameters) if parameters else {"Parameters": []}
        ids = {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}
        if absent := set(parameters) - set(ids):
            return "missing", f"{self._cluster.region} has no {', '.join(absent)}: use another ImageId"
        return "ok", ", ".join(sorted({*ids.values(), *(i for i in images if not i.startswith(SSM))}))

    def _role(self, profile: str) -> dict[str, Any] | None:
        iam = self._client("iam")
        try:
            roles = iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
        except iam.exceptions.NoSuchEntityException:
            return None
        return roles[0] if roles else None

    def _profile(self, profile: str) -> tuple[FindingStatus, str]:
        if role := self._role(profile):
            return "ok", f"with the role {role['RoleName']}"
        return "missing", f"not found, or without a role: {ROLES}"

    def _head_rights(self) -> tuple[FindingStatus, str]:
        """Checks that the head's policies let it start machines with the workers' role (ignores conditions)."""
        head, worker = self._role(self._cluster.head.profile), self._role(self._cluster.workers[0].profile)
        if not head or not worker:
            return "unknown", "can be checked once both profiles exist"
        statements = list(self._statements(head["RoleName"]))
        for action, resource in (("iam:PassRole", worker["Arn"]), ("ec2:RunInstances", "*"), ("ec2:CreateTags", "*")):
            if not any(_allows(statement, action, resource) for statement in statements):
                return "missing", f"{head['RoleName']} lacks {action} on {resource}: {ROLES}"
        return "ok", f"{head['RoleName']} may start machines and give them {worker['RoleName']}"

    def _statements(self, role: str) -> Iterator[dict[str, Any]]:
        iam = self._client("iam")
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            yield from _list(iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"])
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
            policy = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
            yield from _list(policy["PolicyVersion"]["Document"]["Statement"])

    def _quota(self, machines: str, code: str) -> tuple[FindingStatus, str]:
        need = self._vcpus(machines)
        if not need:
            return "ok", "none needed"
        page = f"https://{self._cluster.region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
        try:
            answer = self._client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
        except self._errors.ClientError:  # few users may ask; the page shows it
            return "unknown", f"{need} vCPUs needed; {page} shows your quota"
        granted = int(answer["Quota"]["Value"])
        if granted < need:
            return "missing", f"{granted} of {need} vCPUs: request more at {page}, or run fewer machines"
        return "ok", f"{granted} vCPUs, {need} needed"

    def _vcpus(self, machines: str) -> int:
        """Counts the vCPUs of the largest set of such machines that can run at once."""
        if machines == "head":
            wanted = [self._cluster.head.instance]
        else:
            nodes = [node for node in self._cluster.workers if node.spot == (machines == "spot GPUs")]
            wanted = [node.instance for node in nodes for _ in range(node.most)]
        if not wanted:
            return 0
        types = self._client("ec2").describe_instance_types(InstanceTypes=sorted(set(wanted)))["InstanceTypes"]
        vcpus = {kind["InstanceType"]: kind["VCpuInfo"]["DefaultVCpus"] for kind in types}
        return sum(sorted((vcpus[instance] for instance in wanted), reverse=True)[: max(1, self._cluster.most)])


def _allows(statement: dict[str, Any], action: str, resource: str) -> bool:
    actions, resources = _list(statement.get("Action", [])), _list(statement.get("Resource", []))
    return (
        statement["Effect"] == "Allow"
        and any(fnmatchcase(action.lower(), pattern.lower()) for pattern in actions)
        and any(fnmatchcase(resource, pattern) for pattern in resources)
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
