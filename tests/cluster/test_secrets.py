"""Secrets are found by form, by name and by entropy; what only looks like one at first sight is left alone."""

import base64
import hashlib

import pytest

from tests.cluster.conftest import Body, Check, put

RANDOM = hashlib.sha256(b"a test").digest()
HEX = RANDOM.hex()
BASE64 = base64.b64encode(RANDOM).decode().rstrip("=")
"""Built here, so that no file holds anything that looks like a secret."""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("aws configure set key " + "AK" + "IA" + "Q" * 16, "an AWS access key"),
        ("echo '-----BEGIN " + "RSA PRIVATE" + " KEY-----'", "a private key"),
        ("git clone https://me:" + "hunter" + "@example.org/a", "a password in a URL"),
        ("export TOKEN_OF_MINE=x GITHUB=" + "gh" + "p_" + "a1" * 18, "a GitHub token"),
        ("export DB_PASSWORD=" + "hunter2", "a value for DB_PASSWORD"),
        ("curl -H 'x-api-key: " + "hunter2'", "a value for x-api-key"),
        ("ray login " + HEX, "looks like a key"),
        ("ray login " + BASE64, "looks like a key"),
    ],
)
def test_a_secret_in_a_command_is_found_and_not_repeated_whole(check: Check, aws: Body, text: str, what: str) -> None:
    found = [finding for finding in check(put(aws, "setup_commands", [text])) if what in finding.problem]
    assert [finding.place for finding in found] == ["setup_commands[0]"]
    assert not any(secret in str(found[0]) for secret in ("hunter", HEX, BASE64))


def test_a_secret_under_its_name_is_found(check: Check, aws: Body) -> None:
    name = "_".join(("aws", "secret", "access", "key"))
    aws["provider"]["aws_credentials"] = {name: "open sesame"}
    assert [finding.place for finding in check(aws)] == [f"provider.aws_credentials.{name}"]


@pytest.mark.parametrize(
    "text",
    [
        "RAY_AUTH_TOKEN_PATH=~/.ray/auth_token ls",
        "export PASSWORD=$PASSWORD",
        "docker pull ray@sha256:" + HEX,
        "ls /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl",
        "curl https://amazoncloudwatch-agent.s3.amazonaws.com/ubuntu/amd64/latest/amazon-cloudwatch-agent.deb",
        "export HttpTokens=required",
    ],
)
def test_paths_variables_digests_and_words_are_no_secrets(check: Check, aws: Body, text: str) -> None:
    assert check(put(aws, "setup_commands", [text])) == []
