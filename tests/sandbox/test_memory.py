"""When the biggest process has to go."""

from codecove.sandbox.memory import HEADROOM_BYTES, OWN_BYTES, MemoryGuard, address_space

MIB = 2**20
LIMIT = 1024 * MIB


def test_within_the_limit_nothing_is_killed() -> None:
    guard = MemoryGuard(LIMIT)
    assert not any(guard.must_kill(use * MIB, now) for now, use in enumerate((0, 500, 1000, 1024)))


def test_over_the_limit_one_is_killed_and_given_time_to_go() -> None:
    guard = MemoryGuard(LIMIT)
    assert guard.must_kill(1100 * MIB, 0.0)
    assert not guard.must_kill(1110 * MIB, 0.025)
    assert not guard.must_kill(1060 * MIB, 0.05)


def test_when_the_use_goes_on_growing_the_next_is_killed_at_once() -> None:
    guard = MemoryGuard(LIMIT)
    assert guard.must_kill(1100 * MIB, 0.0)
    assert guard.must_kill(1170 * MIB, 0.025)


def test_when_the_use_stays_the_next_is_killed_later() -> None:
    guard = MemoryGuard(LIMIT)
    assert guard.must_kill(1100 * MIB, 0.0)
    assert guard.must_kill(1100 * MIB, 1.1)


def test_what_the_sandbox_keeps_for_itself_is_not_charged_to_later_programs() -> None:
    guard = MemoryGuard(LIMIT)
    assert guard.must_kill(1100 * MIB, 0.0)
    guard.nothing_to_kill(1100 * MIB)
    assert not guard.must_kill(2000 * MIB, 2.0)
    assert guard.must_kill(2200 * MIB, 4.0)
    assert guard.hard_limit == 2124 * MIB + HEADROOM_BYTES
    assert not guard.must_kill(100 * MIB, 6.0)  # it has given it back
    assert guard.must_kill(1200 * MIB, 8.0)
    assert guard.hard_limit < 1200 * MIB + HEADROOM_BYTES


def test_killing_in_vain_shows_that_the_memory_is_the_sandboxs_own() -> None:
    guard = MemoryGuard(LIMIT)
    assert guard.must_kill(1100 * MIB, 0.0)
    assert guard.must_kill(1100 * MIB, 1.1)
    assert not guard.must_kill(1100 * MIB, 2.2)
    assert not guard.must_kill(1100 * MIB, 9.0)


def test_what_is_killed_for_is_below_the_kernels_limit() -> None:
    assert 0 < OWN_BYTES < HEADROOM_BYTES


def test_one_allocation_of_twice_the_limit_fails_by_itself() -> None:
    assert address_space(LIMIT) == 2 * LIMIT


def test_one_program_after_another_is_killed_however_many_there_were() -> None:
    guard = MemoryGuard(LIMIT)
    for number in range(20):
        assert guard.must_kill(1100 * MIB, number * 10.0)
        assert not guard.must_kill(100 * MIB, number * 10.0 + 5)
