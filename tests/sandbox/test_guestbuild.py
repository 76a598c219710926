"""The programs in C are made once, whoever else makes them, and whoever was killed while doing so."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codecove.sandbox import guestbuild


def test_many_at_once_make_one_and_remove_what_one_that_was_killed_has_left(tmp_path: Path) -> None:
    (tmp_path / "rootfs/etc").mkdir(parents=True)
    (tmp_path / "rootfs/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    programs = tmp_path / "programs"
    (programs / ".guest-killed/layer").mkdir(parents=True)
    with ThreadPoolExecutor(3) as pool:
        built = set(pool.map(lambda _: guestbuild.build(programs, tmp_path / "rootfs"), range(3)))
    assert len(built) == 1
    (one,) = built
    assert {path.name for path in programs.iterdir()} == {".lock", one.directory.name}
    assert "user:x:1000" in (one.layer / "etc/passwd").read_text()
    made = one.reaper.stat().st_mtime_ns
    (programs / ".guest-killed").mkdir()
    assert guestbuild.build(programs, tmp_path / "rootfs") == one
    assert not (programs / ".guest-killed").exists()
    assert one.reaper.stat().st_mtime_ns == made
