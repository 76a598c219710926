"""The facts that the tool descriptions state, from the image's manifest and the limits in force."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from codecove.sandbox.limits import Limits
from codecove.tools.base import Facts
from codecove.workspaces import Caller

# What both documents list, in their order. A model knows what these are for; the rest of an image it can look up.
_LIBRARIES = (
    "pandas",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "matplotlib",
    "seaborn",
    "pyarrow",
    "openpyxl",
    "xlrd",
    "xlsxwriter",
    "pillow",
    "python-pptx",
    "python-docx",
    "pypdf",
    "pdfplumber",
    "pypdfium2",
    "pdf2image",
    "pdfkit",
    "tabula-py",
    "reportlab",
    "img2pdf",
    "sympy",
    "mpmath",
    "tqdm",
    "python-dateutil",
    "pytz",
    "joblib",
)

_PROGRAMS = {
    "unzip": "unzip",
    "unar": "unrar",
    "7zip": "7z",
    "bc": "bc",
    "ripgrep": "rg",
    "fd-find": "fd",
    "sqlite3": "sqlite3",
    "poppler-utils": "pdftotext",
    "jq": "jq",
}
"""Debian package → the command that it is there for."""


def facts_from(manifest: Mapping[str, Any], limits: Limits, *, execution_timeout: float) -> Facts:
    """`manifest` is an image's: `python.got`, `python_packages` and `debian_packages` are looked at, where there.
    `execution_timeout` is in seconds."""
    python = manifest.get("python") or {}
    packages = {name.lower().replace("_", "-") for name in manifest.get("python_packages") or ()}
    debian = manifest.get("debian_packages") or {}
    return Facts(
        memory_bytes=limits.memory_bytes,
        disk_bytes=limits.disk_bytes,
        cpus=limits.cpus,
        execution_timeout=execution_timeout,
        python_version=python.get("got"),
        libraries=tuple(name for name in _LIBRARIES if name in packages),
        programs=tuple(program for package, program in _PROGRAMS.items() if package in debian),
    )


def facts_for(facts: Facts, caller: Caller) -> Facts:
    """The same, with the limits that the caller's workspace has of its own."""
    told = {field.name for field in fields(Facts)}
    own = caller.container_limits.given()
    return replace(facts, **{name: value for name, value in own.items() if name in told})
