"""Unpack a RAR 5 archive, of which one file is stored, the other compressed.

No free program makes such an archive, so this one is written by hand, after the format's published description:
the compressed file is one block of literals, each with a code of eight bits.
"""

import subprocess
import zlib
from pathlib import Path

TEXT = "Kein Packprogramm, nur Bytes. 中文\n".encode() * 40


def vint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def header(body: bytes) -> bytes:
    sized = vint(len(body)) + body
    return zlib.crc32(sized).to_bytes(4, "little") + sized


def member(name: str, packed: bytes, method: int) -> bytes:
    """Type 2, with a data area (2); CRC-32 present (4); method in bits 7 to 9; host 1 is Unix."""
    fields = [2, 2, len(packed), 4, len(TEXT), 0o100644]
    checksum = zlib.crc32(TEXT).to_bytes(4, "little")
    path = name.encode()
    rest = vint(method << 7) + vint(1) + vint(len(path)) + path
    return header(b"".join(map(vint, fields)) + checksum + rest) + packed


def compressed(text: bytes) -> bytes:
    """One block: lengths of the code lengths, code lengths, then the text, whose codes are its bytes."""
    lengths = ["0000"] * 20
    lengths[8] = lengths[19] = "0001"  # "this symbol has a code of 8 bits" is 0, "a run without codes" is 1
    runs = ["1" + format(length - 11, "07b") for length in (138, 36)]
    table = "".join(lengths) + "0" * 256 + "".join(runs)  # 256 literals, then 430 - 256 symbols that are not used
    bits = table + "".join(format(byte, "08b") for byte in text)
    last = (len(bits) - 1) % 8  # bits used in the last byte, less one
    data = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    flags = last | 1 << 3 | 1 << 6 | 1 << 7  # a size of two bytes; the last block; it has tables
    size = len(data).to_bytes(2, "little")
    return bytes([flags, 0x5A ^ flags ^ size[0] ^ size[1]]) + size + data


archive = b"Rar!\x1a\x07\x01\x00" + header(vint(1) + vint(0) + vint(0))
archive += member("stored.txt", TEXT, 0) + member("ordner/gepackt ü.txt", compressed(TEXT), 1)
Path("a.rar").write_bytes(archive + header(vint(5) + vint(0) + vint(0)))


def unrar(*arguments: str) -> str:
    return subprocess.run(["unrar", *arguments], check=True, capture_output=True, text=True).stdout


assert unrar("lb", "a.rar").split("\n")[:2] == ["stored.txt", "ordner/gepackt ü.txt"], unrar("lb", "a.rar")
assert "All OK" in unrar("t", "a.rar")
unrar("x", "a.rar", "full/")
unrar("e", "-y", "a.rar", "flat/")
for path in ("full/stored.txt", "full/ordner/gepackt ü.txt", "flat/stored.txt", "flat/gepackt ü.txt"):
    assert Path(path).read_bytes() == TEXT, path
assert unrar("p", "-inul", "a.rar", "stored.txt").encode() == TEXT
unrar("x", "a.rar", "stored.txt")
assert Path("stored.txt").read_bytes() == TEXT
Path("broken.rar").write_bytes(archive[:-200])
assert subprocess.run(["unrar", "t", "broken.rar"], check=False, capture_output=True).returncode != 0
print("unrar: a RAR 5 archive listed, tested and unpacked")
