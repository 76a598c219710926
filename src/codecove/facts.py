"""What models are told of the sandbox: the limits in the settings and the contents of the image."""

from codecove.images.library import Image
from codecove.settings import Settings
from codecove.tools.base import Facts

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
    "xlsxwriter",
    "python-docx",
    "python-pptx",
    "pypdf",
    "pdfplumber",
    "reportlab",
    "pillow",
    "sympy",
)
"""Packages that a model should know of. The rest is found by trying."""

_PROGRAMS = (
    ("ripgrep", "rg"),
    ("fd-find", "fd"),
    ("sqlite3", "sqlite3"),
    ("jq", "jq"),
    ("7zip", "7z"),
    ("unzip", "unzip"),
)
"""Debian packages, and the commands that they bring."""


def facts_of(settings: Settings, image: Image) -> Facts:
    """The facts of one server; the same image and settings give the same words, as prompt caches need."""
    python = {name.lower() for name in image.manifest.get("python_packages", {})}
    debian = image.manifest.get("debian_packages", {})
    return Facts(
        memory_bytes=settings.memory,
        disk_bytes=settings.disk,
        cpus=settings.cpus,
        execution_timeout=settings.execution_timeout,
        python_version=str(image.manifest.get("python", {}).get("got", "3")),
        libraries=tuple(name for name in _LIBRARIES if name in python),
        programs=tuple(command for package, command in _PROGRAMS if package in debian),
    )
