"""The machine's own Debian mirror, whatever form its apt sources have."""

from pathlib import Path

import pytest

from codecove.images.sources import NoDebianSource, bookworm_sources, machine_sources, suite_source

DEB822 = """\
# made by an installer
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://other.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian trixie main
deb-src http://mirror.example/debian trixie main
# deb http://commented.example/debian trixie main
deb http://mirror.example/debian-security trixie-security main contrib  # security
"""

THIRD_PARTY = """\
deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://vendor.example/debian bookworm main
deb http://docker.example/linux/debian bookworm stable
deb http://node.example/node_20.x nodistro main
deb http://mirror.example/ubuntu noble main
"""


def apt(directory: Path, *, one_line: str = "", deb822: str = "") -> Path:
    (directory / "sources.list.d").mkdir()
    (directory / "sources.list").write_text(one_line)
    (directory / "sources.list.d/debian.sources").write_text(deb822)
    return directory


def test_deb822_sources_give_debian_12_with_its_updates(tmp_path: Path) -> None:
    text = bookworm_sources(apt(tmp_path, deb822=DEB822))
    keyring = "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg"
    main = "Types: deb\nURIs: http://mirror.example/debian\nSuites: {}\nComponents: main\n" + keyring
    security = "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    assert text.split("\n\n") == [main.format("bookworm"), main.format("bookworm-updates"), security]


def test_the_mirror_of_a_newer_debian_serves_debian_12(tmp_path: Path) -> None:
    text = bookworm_sources(apt(tmp_path, one_line=ONE_LINE))
    assert "Suites: bookworm\n" in text
    assert "URIs: http://mirror.example/debian-security\nSuites: bookworm-security\n" in text
    assert "trixie" not in text
    assert "commented" not in text


def test_third_parties_are_left_out(tmp_path: Path) -> None:
    text = bookworm_sources(apt(tmp_path, one_line=THIRD_PARTY, deb822=DEB822))
    assert {line for line in text.splitlines() if line.startswith("URIs")} == {
        "URIs: http://mirror.example/debian",
        "URIs: http://mirror.example/debian-security",
    }


def test_a_machine_without_debian_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NoDebianSource, match="no Debian archive in the apt sources"):
        bookworm_sources(apt(tmp_path, one_line=THIRD_PARTY))


def test_another_suite_comes_from_the_main_archive(tmp_path: Path) -> None:
    text = suite_source("bookworm-backports", apt(tmp_path, deb822=DEB822))
    assert "URIs: http://mirror.example/debian\nSuites: bookworm-backports\n" in text


def test_a_one_line_entry_is_read_with_its_options(tmp_path: Path) -> None:
    first, second = machine_sources(apt(tmp_path, one_line=ONE_LINE))
    assert first.signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert (second.suite, second.components) == ("trixie-security", ("main", "contrib"))
