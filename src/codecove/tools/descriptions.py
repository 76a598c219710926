"""What the model is told of the tools: short, and nothing that the configuration doesn't keep.

docs/tools.md has the cost in tokens.
"""

from codecove.tools.base import Facts

_FILES = (
    "The user's files are in $INPUT_DIR. What you save directly in $OUTPUT_DIR (new for each call) is given to the user"
)


def python(facts: Facts) -> str:
    """Of `code_execution`."""
    return " ".join(
        [
            f"Run a {_python(facts)} program in a sandbox and get stdout, stderr and the return code.",
            "Each call is a new interpreter in /workspace: variables are lost, files stay.",
            f"{_FILES}; read both names from os.environ.",
            *_common(facts),
        ]
    )


def bash(facts: Facts) -> str:
    """Of `bash_code_execution`."""
    return " ".join(
        [
            "Run a bash command in a sandbox and get stdout, stderr and the return code.",
            "Each call is a new shell in /workspace: variables and cd are lost, files and background processes stay.",
            f"{_FILES}.",
            *_common(facts),
            *([f"Programs: {', '.join(facts.programs)}."] if facts.programs else []),
        ]
    )


def text_editor() -> str:
    """Of `text_editor_code_execution`."""
    return (
        "View, create and edit files in the sandbox of bash_code_execution. Paths are relative to /workspace and may "
        "have $INPUT_DIR and other variables. view: a text file, an image, a PDF, or a directory two levels deep. "
        "create: write a whole file. str_replace: replace the one place where old_str occurs. "
        "To give a file to the user, save it in $OUTPUT_DIR by bash."
    )


def _common(facts: Facts) -> list[str]:
    cpus = f"{facts.cpus:g} CPU" + ("" if facts.cpus == 1 else "s")
    memory, disk = _size(facts.memory_bytes), _size(facts.disk_bytes)
    parts = [
        f"Limits: {memory} memory, {disk} disk, {cpus}, {facts.execution_timeout:g} s per call.",
        "No network: nothing can be downloaded or installed.",
    ]
    if facts.libraries:
        parts.append(f"{_python(facts)} libraries: {', '.join(facts.libraries)}.")
    return parts


def _python(facts: Facts) -> str:
    return f"Python {facts.python_version}" if facts.python_version else "Python"


def _size(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} bytes"
