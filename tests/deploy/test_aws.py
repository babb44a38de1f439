"""`ray up cluster.yaml` on a mocked AWS: the stack, what EC2 is asked for, what the head is told to run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.cluster_files import ROOT, filled, load

SSH_FROM = "198.51.100.7/32"
TEMPLATE = ROOT / "deploy" / "aws" / "prerequisites.yaml"


@dataclass
class Ssh:
    """Stands for the subprocess module: notes commands instead of running them."""

    commands: list[str] = field(default_factory=list)

    def check_call(self, command: list[str], *_: Any, **__: Any) -> None:
        self.commands.append(" ".join(command))


@pytest.fixture
def aws(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A mocked account, with credentials that are valid nowhere."""
    import boto3
    from moto import mock_aws
    from ray.autoscaler._private.aws import config, utils

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    caches = (utils.resource_cache, utils.client_cache, config._get_subnets_or_die)
    with mock_aws():
        yield boto3
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def group(aws: Any) -> str:
    """The id of the security group that the stack makes."""
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    cloudformation = aws.client("cloudformation")
    parameters = {"Vpc": vpc, "SshFrom": SSH_FROM, "Bucket": "logs"}
    cloudformation.create_stack(
        StackName="rosa-rec",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    (output,) = cloudformation.describe_stacks()["Stacks"][0]["Outputs"]
    return str(output["OutputValue"])


def test_the_stack_opens_the_service_to_whom_it_is_told(aws: Any) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    parameters = {"Vpc": vpc, "SshFrom": SSH_FROM, "Bucket": "logs", "ServiceFrom": "10.0.0.0/16"}
    aws.client("cloudformation").create_stack(
        StackName="rosa-rec",
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    rules = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["rosa-rec"]}])
    opened = {
        (rule["FromPort"], net["CidrIp"])
        for rule in rules["SecurityGroups"][0]["IpPermissions"]
        for net in rule["IpRanges"]
    }
    assert opened == {(22, SSH_FROM), (8000, "10.0.0.0/16")}


class _Tagged(yaml.SafeLoader):
    """Reads what CloudFormation writes as `!Ref` and such as its plain value."""


_Tagged.add_multi_constructor("!", lambda loader, suffix, node: (suffix, node.value))


def test_the_store_of_the_stack_is_encrypted_and_evicts_nothing() -> None:
    """Mocked AWS makes no ElastiCache from a stack, so this reads what the stack asks for."""
    template = yaml.load(TEMPLATE.read_text(), _Tagged)
    resources = template["Resources"]
    store = resources["Store"]["Properties"]
    assert store["TransitEncryptionEnabled"] is True
    assert store["AtRestEncryptionEnabled"] is True
    assert store["AuthToken"] == ("Ref", "StorePassword")
    assert store["SecurityGroupIds"] == [("GetAtt", "Nodes.GroupId")]
    assert resources["StoreParameters"]["Properties"]["Properties"] == {"maxmemory-policy": "noeviction"}
    assert template["Parameters"]["StorePassword"]["NoEcho"] is True
    made = {name for name, resource in resources.items() if resource.get("Condition") == "HasStore"}
    assert made == {"Store", "StoreParameters", "StoreSubnetGroup"}
    assert template["Outputs"]["StoreUrl"]["Value"][1].startswith("rediss://")


def run_instances(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Note what EC2 is asked to start."""
    from botocore.client import BaseClient

    asked: list[dict[str, Any]] = []
    call = BaseClient._make_api_call

    def noted(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "RunInstances":
            asked.append(parameters)
        return call(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    return asked


def test_the_stack_opens_ssh_to_one_address_and_the_rest_to_the_nodes(aws: Any, group: str) -> None:
    (found,) = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert [
        (rule["IpProtocol"], rule.get("FromPort"), [net["CidrIp"] for net in rule["IpRanges"]])
        for rule in found["IpPermissions"]
        if rule["IpRanges"]
    ] == [("tcp", 22, [SSH_FROM])]
    assert [
        [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]
        for rule in found["IpPermissions"]
        if rule["UserIdGroupPairs"]
    ] == [[group]]
    profiles = aws.client("iam").list_instance_profiles()["InstanceProfiles"]
    assert {profile["InstanceProfileName"] for profile in profiles} == {"rosa-rec-head", "rosa-rec-worker"}


def test_ray_up_starts_the_head_as_the_file_says(
    aws: Any, group: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private import commands

    asked, ssh = run_instances(monkeypatch), Ssh()
    path = filled("cluster.yaml", home, group)
    config = commands._bootstrap_config(load(path), no_config_cache=True)
    commands.get_or_create_head_node(config, str(path), False, False, True, None, _runner=ssh)  # type: ignore[arg-type]

    (head,) = asked
    assert head["SecurityGroupIds"] == [group]
    assert head["MetadataOptions"]["HttpTokens"] == "required"
    assert head["IamInstanceProfile"] == {"Name": "rosa-rec-head"}
    assert head["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    assert "InstanceMarketOptions" not in head
    assert len(aws.client("ec2").describe_security_groups()["SecurityGroups"]) == 2  # the default one, and ours
    assert "--autoscaling-config" in ssh.commands[-1]
    assert "RAY_AUTH_MODE=token" in ssh.commands[-1]
    assert any(command.endswith(":/home/ubuntu/.ray/auth_token") for command in ssh.commands)
    assert not any("ray stop" in command for command in ssh.commands)


def test_workers_are_spot_and_have_the_size_that_ec2_names(
    aws: Any, group: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.autoscaler._private import commands
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    asked = run_instances(monkeypatch)
    config = commands._bootstrap_config(load(filled("cluster.yaml", home, group)), no_config_cache=True)
    types = config["available_node_types"]
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for name in ("cpu_worker", "gpu_worker"):
        provider.create_node(types[name]["node_config"], {"ray-node-type": "worker"}, 1)

    assert (types["cpu_worker"]["resources"]["CPU"], types["gpu_worker"]["resources"]["GPU"]) == (16, 1)
    assert types["cpu_head"]["resources"]["CPU"] == 0
    for worker in asked:
        assert worker["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["IamInstanceProfile"] == {"Name": "rosa-rec-worker"}
        assert worker["MetadataOptions"]["HttpTokens"] == "required"
        assert worker["SecurityGroupIds"] == [group]
    assert [worker["InstanceType"] for worker in asked] == ["m7i.4xlarge", "g6.2xlarge"]


def test_the_metrics_file_is_the_one_that_ray_writes() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (job,) = load(ROOT / "deploy" / "aws" / "prometheus.yml")["scrape_configs"]
    assert job["file_sd_configs"] == [{"files": [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]}]
