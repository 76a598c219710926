"""Any root file system as an image, and archives that mean harm."""

import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Literal

import pytest

from codecove.images.errors import ImageError
from codecove.images.importing import import_archive
from codecove.images.library import Library

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners of files need root")


def file(name: str, mode: int = 0o755, owner: int = 0, content: bytes = b"#!\n") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid, member.size = mode, owner, owner, len(content)
    return member, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def device(name: str) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.devmajor, member.devminor, member.mode = tarfile.BLKTYPE, 7, 0, 0o666
    return member, b""


SHELL = [file("./usr/bin/dash"), link("./bin", "usr/bin"), link("./usr/bin/sh", "dash")]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "images")


def archive(directory: Path, *members: tuple[tarfile.TarInfo, bytes], mode: Literal["w", "w:gz"] = "w") -> Path:
    path = directory / "rootfs.tar"
    with tarfile.open(path, mode) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return path


def test_a_root_file_system_becomes_an_image_with_a_name(tmp_path: Path, library: Library) -> None:
    members = [*SHELL, file("./home/user/x", owner=1000), file("./usr/bin/env"), file("./usr/local/bin/python3")]
    image, missing = import_archive(library, archive(tmp_path, *members, file("usr/bin/bash")), "mine")
    assert missing == []
    assert image.name == "mine"
    assert library.resolve("mine").rootfs == image.rootfs
    assert (image.rootfs / "home/user/x").stat().st_uid == 1000
    assert image.manifest["kind"] == "imported"
    assert image.manifest["source"] == "rootfs.tar"
    assert image.manifest["size_bytes"] > 0


def test_what_a_tool_will_miss_is_said(tmp_path: Path, library: Library) -> None:
    image, missing = import_archive(library, archive(tmp_path, *SHELL), "small")
    assert [sentence.split()[0] for sentence in missing] == ["/bin/bash", "/usr/bin/env", "python3"]
    assert image.manifest["missing"] == missing


def test_a_compressed_archive_is_read(tmp_path: Path, library: Library) -> None:
    image, _ = import_archive(library, archive(tmp_path, *SHELL, mode="w:gz"), "small")
    assert (image.rootfs / "usr/bin/dash").is_file()


def test_an_archive_compressed_with_zstd_is_read(tmp_path: Path, library: Library) -> None:
    plain = archive(tmp_path, *SHELL)
    subprocess.run(["zstd", "-q", str(plain)], check=True)
    image, _ = import_archive(library, plain.with_suffix(".tar.zst"), "small")
    assert (image.rootfs / "usr/bin/dash").is_file()


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "./x/../../escaped"])
def test_a_member_that_leads_outside_stays_inside_or_is_refused(tmp_path: Path, library: Library, name: str) -> None:
    try:
        import_archive(library, archive(tmp_path, *SHELL, file(name)), "evil")
    except ImageError as error:
        assert "escaped" in str(error)
    outside = [path for path in tmp_path.rglob("escaped") if "rootfs" not in path.relative_to(tmp_path).parts]
    assert outside == []
    assert not Path("/escaped").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_of_the_archive_is_not_written_through(tmp_path: Path, library: Library, kind: bytes) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    target = str(victim if kind == tarfile.SYMTYPE else victim / "file")
    written = "door/file" if kind == tarfile.SYMTYPE else "door"
    with pytest.raises(ImageError, match="could not unpack"):
        import_archive(library, archive(tmp_path, *SHELL, link("door", target, kind), file(written)), "evil")
    assert (victim / "file").read_text() == "mine"
    assert library.list() == []


def test_devices_and_set_user_id_bits_are_dropped(tmp_path: Path, library: Library) -> None:
    members = [*SHELL, device("dev/loop0"), file("usr/bin/su", mode=0o6755)]
    image, _ = import_archive(library, archive(tmp_path, *members), "mine")
    assert not (image.rootfs / "dev/loop0").exists()
    assert (image.rootfs / "usr/bin/su").stat().st_mode & 0o7777 == 0o755


def test_an_archive_without_a_shell_is_refused_and_leaves_nothing(tmp_path: Path, library: Library) -> None:
    with pytest.raises(ImageError, match=r"no program /bin/sh \(but data\.csv\)"):
        import_archive(library, archive(tmp_path, file("data.csv")), "data")
    assert {path.name for path in library.directory.iterdir()} == {".lock"}


def test_a_shell_that_is_a_link_to_the_host_does_not_count(tmp_path: Path, library: Library) -> None:
    with pytest.raises(ImageError, match="no program /bin/sh"):
        import_archive(library, archive(tmp_path, link("bin/sh", "../../../../../../bin/dash")), "evil")


def test_docker_save_is_told_from_docker_export(tmp_path: Path, library: Library) -> None:
    with pytest.raises(ImageError, match="docker export"):
        import_archive(library, archive(tmp_path, file("manifest.json"), file("layer.tar")), "layers")


def test_what_is_no_archive_is_refused(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "text.tar"
    path.write_text("nothing of the kind")
    with pytest.raises(ImageError, match="could not unpack"):
        import_archive(library, path, "text")
    with pytest.raises(ImageError, match="is not a file"):
        import_archive(library, tmp_path / "absent.tar", "absent")


def test_the_same_archive_is_one_image(tmp_path: Path, library: Library) -> None:
    path = archive(tmp_path, *SHELL)
    first, _ = import_archive(library, path, "one")
    second, _ = import_archive(library, path, "two")
    assert first.id == second.id
    assert len(library.list()) == 1
    assert library.resolve("one").id == library.resolve("two").id
