"""What `cove workspaces` takes and shows of limits."""

import json

import pytest

from tests.cli.cove import invoke


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With a workspace that has a limit, and one without."""
    directory = str(tmp_path_factory.mktemp("workspaces"))
    assert invoke("workspaces", "create", "lab", "--memory", "256MiB", "--data-dir", directory).exit_code == 0
    assert invoke("workspaces", "create", "office", "--data-dir", directory).exit_code == 0
    return directory


def test_limits_of_containers_are_set_shown_and_unset(data_dir: str) -> None:
    set_ = ["workspaces", "set", "office", "--data-dir", data_dir]
    assert invoke(*set_, "--memory", "128MiB").exit_code == 0
    shown = invoke(*set_, "--cpus", "0.5", "--execution-timeout", "20", "--containers", "3")
    assert "memory 128.0MiB, cpus 0.5, execution timeout 20.0" in shown.stdout
    assert invoke(*set_, "--memory", "default", "--execution-timeout", "default").exit_code == 0
    for command in (["show", "office"], ["list"]):
        listed = invoke("workspaces", *command, "--data-dir", data_dir).stdout
        assert "cpus 0.5" in listed
        assert "128" not in listed
    acts = [json.loads(line) for line in invoke("audit", "--json", "--data-dir", data_dir).stdout.splitlines()]
    last = next(act for act in acts if act["action"] == "workspace.set" and act["memory_bytes"] is None)
    assert (last["cpus"], last["containers"]) == (0.5, 3)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--memory", "3MB", "--memory is at least 64.0MiB, or `default`, not '3MB'"),
        ("--memory", "much", "--memory is a size such as 512MiB, or `default`"),
        ("--memory", "9PiB", "and this machine has"),
        ("--disk", "1", "--disk is at least 8.0MiB"),
        ("--disk", "9EiB", "and this machine has"),
        ("--cpus", "0", "--cpus is at least 0.1"),
        ("--cpus", "nan", "--cpus is a number"),
        ("--cpus", "100000", "and this machine has"),
        ("--processes", "3.5", "--processes is a number"),
        ("--processes", "1000000", "--processes is at most 100000"),
        ("--open-files", "100", "--open-files is at least 256"),
        ("--execution-timeout", "0", "--execution-timeout is more than 0.0"),
        ("--execution-timeout", "inf", "--execution-timeout is a number"),
    ],
)
def test_a_value_that_can_not_be_is_refused_with_what_can(data_dir: str, option: str, value: str, message: str) -> None:
    refused = invoke("workspaces", "set", "lab", option, value, "--data-dir", data_dir)
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.replace("│", " ").split())
    assert "memory 256.0MiB" in invoke("workspaces", "show", "lab", "--data-dir", data_dir).stdout
