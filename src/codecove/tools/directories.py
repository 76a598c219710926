"""`$INPUT_DIR` and `$OUTPUT_DIR`: where they are, and making them."""

import hashlib
import secrets
from collections.abc import Mapping

from codecove.clock import monotonic
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.host import INPUT_ROOT, OUTPUT_ROOT, Container


def input_directory(first_upload: str = "") -> str:
    """`$INPUT_DIR`: the same for every request of a conversation, so that paths the model knows stay true.

    `first_upload` is the id of its first file, if it has any.
    """
    return f"{INPUT_ROOT}/{hashlib.sha256(first_upload.encode()).hexdigest()[:16]}"


def new_output_directory() -> str:
    """An `$OUTPUT_DIR` that no call has had."""
    return f"{OUTPUT_ROOT}/{secrets.token_hex(8)}"


async def make_directories(container: Container, paths: Mapping[str, str]) -> list[list[str]]:
    """Make the directories that these variables name; the values say why not. Raises what the container raises."""
    errors = await container.make_directories(list(paths.values()))
    return [
        [] if error is None else [f"${variable} could not be made: {error}"]
        for variable, error in zip(paths, errors, strict=True)
    ]


class Directories:
    """`$INPUT_DIR` and `$OUTPUT_DIR` of one call, made in its container."""

    def __init__(self, input_dir: str, output_dir: str) -> None:
        self._input_dir = input_dir
        self._output_dir = output_dir
        self.began = monotonic()
        """When the container was first asked for something for this call."""
        self.input_notes: list[str] = []
        """Why the one could not be made, for the model; and so of the other."""
        self.output_notes: list[str] = []
        self.failure: SandboxError | None = None
        """The sandbox failed: raised where the call's failures are expected."""

    async def make(self, container: Container) -> None:
        """Never raises a `SandboxError`."""
        self.began = monotonic()
        try:
            self.input_notes, self.output_notes = await make_directories(
                container, {"INPUT_DIR": self._input_dir, "OUTPUT_DIR": self._output_dir}
            )
        except SandboxError as error:
            self.failure = error
