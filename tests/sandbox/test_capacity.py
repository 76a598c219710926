"""What a machine has, and what of a container's limits is more."""

from pathlib import Path

from codecove.sandbox.capacity import Capacity, excess, of_machine
from codecove.sandbox.limits import Limits

SMALL = Capacity(memory_bytes=2**30, disk_bytes=8 * 2**30, cpus=1, open_files=4096)


def test_limits_up_to_all_of_the_machine_are_no_excess() -> None:
    assert excess(Limits(memory_bytes=2**30, disk_bytes=8 * 2**30, cpus=1), SMALL) == ""


def test_each_that_is_more_is_named_with_what_there_is() -> None:
    assert excess(Limits(memory_bytes=3 * 2**29, cpus=1.5, open_files=5000), SMALL) == (
        "memory of 1.5 GiB, and this machine has 1 GiB, cpus of 1.5, and this machine has 1, "
        "open files of 5000, and this machine has 4096"
    )


def test_the_machine_is_measured_where_the_containers_will_be(tmp_path: Path) -> None:
    capacity = of_machine(tmp_path / "not" / "there" / "yet")
    assert capacity == of_machine(tmp_path)
    assert min(capacity.memory_bytes, capacity.disk_bytes, capacity.cpus, capacity.open_files) > 0
