"""The parts of Python's own library that distributions leave out or that need a library of the system."""

import bz2
import ctypes
import curses
import dbm
import hashlib
import lzma
import platform
import sqlite3
import ssl
import sys
import venv
import zlib
from multiprocessing import Pool

assert sys.version_info[:2] == (3, 11), sys.version
for module in (bz2, lzma, zlib):
    assert module.decompress(module.compress(b"text" * 100)) == b"text" * 100, module
assert sqlite3.connect(":memory:").execute("select json_extract('{\"a\": 7}', '$.a')").fetchone() == (7,)
assert ctypes.CDLL("libc.so.6").abs(-3) == 3
assert hashlib.sha3_256(b"").hexdigest().startswith("a7ffc6f8")
if __name__ == "__main__":
    with Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    loaded = ", ".join(module.__name__ for module in (curses, dbm, ssl, venv))
    print(f"Python {platform.python_version()}: processes, compression, sqlite3, ctypes; {loaded} import")
