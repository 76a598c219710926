"""Where this machine gets Debian packages: its own apt sources, so that a mirror or proxy chosen there is used here.

Standard library only: `scripts/setup.sh` runs it (`python3 -m codecove.images.sources bookworm-backports`) before
anything is installed.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEBIAN_SUITE = re.compile(
    r"(?P<release>bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)(?P<part>-updates|-security)?"
)
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


class NoDebianSource(Exception):
    """The machine's apt sources name no Debian archive."""


@dataclass(frozen=True, slots=True)
class Source:
    """One archive and one suite in it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None = None

    def is_debian(self) -> bool:
        """Whether it is Debian's own archive, by what a third party's differs in: suite, component, key or path."""
        return (
            _DEBIAN_SUITE.fullmatch(self.suite) is not None
            and "main" in self.components
            and "debian" in self.uri
            and (self.signed_by is None or "debian-archive" in self.signed_by)
        )

    def part(self) -> str:
        """ "", "-updates" or "-security"."""
        found = _DEBIAN_SUITE.fullmatch(self.suite)
        return (found["part"] or "") if found else ""

    def to_deb822(self, suite: str) -> str:
        """The same archive with another suite of it, as a paragraph of a `.sources` file."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {suite}", "Components: main"]
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join(lines) + "\n"


def machine_sources(apt: Path = Path("/etc/apt")) -> list[Source]:
    """All binary sources that are switched on, of both formats."""
    folder = apt / "sources.list.d"
    sources: list[Source] = []
    for file in [apt / "sources.list", *sorted(folder.glob("*.list"))]:
        if file.is_file():
            sources += _one_line(file.read_text())
    for file in sorted(folder.glob("*.sources")):
        sources += _deb822(file.read_text())
    return sources


def bookworm_sources(apt: Path = Path("/etc/apt")) -> str:
    """Debian 12 with its updates and security updates, from where this machine gets its own Debian.

    The text is that of a `.sources` file. Raises `NoDebianSource`.
    """
    paragraphs = {source.to_deb822(f"bookworm{source.part()}"): None for source in _debian_sources(apt)}
    return "\n".join(paragraphs)


def suite_source(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """One more suite, such as `bookworm-backports`, from the machine's main archive. Raises `NoDebianSource`."""
    for source in _debian_sources(apt):
        if not source.part():
            return source.to_deb822(suite)
    raise NoDebianSource(_nothing(apt))


def _debian_sources(apt: Path) -> list[Source]:
    sources = [source for source in machine_sources(apt) if source.is_debian()]
    if not any(not source.part() for source in sources):
        raise NoDebianSource(_nothing(apt))
    return sources


def _nothing(apt: Path) -> str:
    return (
        f"no Debian archive in the apt sources of this machine ({apt}), of which the image is made: build it "
        "with Docker from image/Dockerfile, which says how to bring it here, or on a Debian machine"
    )


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        found = _ONE_LINE.fullmatch(line.split("#")[0].strip())
        if found:
            options = dict(option.split("=", 1) for option in (found["options"] or "").split() if "=" in option)
            components = tuple(found["components"].split())
            yield Source(found["uri"], found["suite"], components, options.get("signed-by"))


def _deb822(text: str) -> Iterator[Source]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n[ \t]*\n", without_comments):
        found = re.findall(r"^(\S+):(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE)
        fields = {name.lower(): value.strip() for name, value in found}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false", "0"}:
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield Source(uri, suite, components, fields.get("signed-by") or None)


if __name__ == "__main__":
    try:
        sys.stdout.write(suite_source(sys.argv[1]))
    except NoDebianSource as problem:
        sys.exit(str(problem))
