"""What the model is told: the configuration that is in force, in few words."""

from dataclasses import replace

from codecove.sandbox.limits import Limits
from codecove.tools import descriptions
from codecove.tools.facts import facts_for, facts_from
from codecove.tools.versions import VERSIONS
from codecove.workspaces import Caller, ContainerLimits

MANIFEST = {
    "python": {"wanted": "3.11.12", "got": "3.11.2", "reason": "…"},
    "python_packages": {"numpy": "2.3", "Pillow": "12.0", "python_dateutil": "2.9", "six": "1.17"},
    "debian_packages": {"ripgrep": "13", "unar": "1.10", "zip": "3"},
}
FACTS = facts_from(MANIFEST, Limits(memory_bytes=1536 * 2**20, cpus=2), execution_timeout=300)


def test_the_facts_are_the_images_and_the_limits_in_force() -> None:
    assert FACTS.python_version == "3.11.2"
    assert FACTS.libraries == ("numpy", "pillow", "python-dateutil")
    assert FACTS.programs == ("unrar", "rg")
    assert (FACTS.memory_bytes, FACTS.cpus) == (1536 * 2**20, 2)


def test_an_image_without_a_manifest_promises_nothing_of_its_content() -> None:
    bare = facts_from({}, Limits(), execution_timeout=60)
    assert (bare.python_version, bare.libraries, bare.programs) == (None, (), ())
    assert "libraries" not in descriptions.python(bare)
    assert "Python program" in descriptions.python(bare)


def test_both_tools_tell_the_same_facts() -> None:
    for text in (descriptions.python(FACTS), descriptions.bash(FACTS)):
        for word in (
            "1.5 GiB memory",
            "5 GiB disk",
            "2 CPUs",
            "300 s per call",
            "3.11.2",
            "numpy, pillow",
            "No network",
        ):
            assert word in text
    small = replace(FACTS, memory_bytes=512 * 2**20, cpus=0.5)
    assert "512 MiB memory, 5 GiB disk, 0.5 CPUs" in descriptions.bash(small)


def test_a_workspace_with_limits_of_its_own_is_told_those() -> None:
    own = ContainerLimits(
        memory_bytes=2**29, disk_bytes=2**30, cpus=0.5, processes=20, open_files=300, execution_timeout=20
    )
    told = replace(FACTS, memory_bytes=2**29, disk_bytes=2**30, cpus=0.5, execution_timeout=20)
    assert facts_for(FACTS, Caller("wrkspc_1", "apikey_1", container_limits=own)) == told


def test_the_definitions_are_short() -> None:
    """docs/tools.md states the cost; one token is about four characters of English or JSON."""
    for tool in VERSIONS.values():
        assert len(str(tool.definitions(FACTS))) < 3000


def test_definitions_are_the_same_each_time_and_each_callers_own() -> None:
    for tool in VERSIONS.values():
        first, second = tool.definitions(FACTS), tool.definitions(FACTS)
        assert first == second
        assert [definition["name"] for definition in first] == list(tool.call_names)
