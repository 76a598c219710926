"""`$INPUT_DIR` and `$OUTPUT_DIR`: where they are, and making them."""

import hashlib
import secrets

from codecove.clock import monotonic
from codecove.sandbox.errors import GuestFileError, SandboxError
from codecove.sandbox.host import INPUT_ROOT, OUTPUT_ROOT, Container
from codecove.together import both


def input_directory(first_upload: str = "") -> str:
    """`$INPUT_DIR`: the same for every request of a conversation, so that paths the model knows stay true.

    `first_upload` is the id of its first file, if it has any.
    """
    return f"{INPUT_ROOT}/{hashlib.sha256(first_upload.encode()).hexdigest()[:16]}"


def new_output_directory() -> str:
    """An `$OUTPUT_DIR` that no call has had."""
    return f"{OUTPUT_ROOT}/{secrets.token_hex(8)}"


async def make_directory(container: Container, path: str, variable: str) -> list[str]:
    """The value says why not, if it could not be made. Raises what else the container raises."""
    try:
        await container.make_directory(path)
    except GuestFileError as error:
        return [f"${variable} could not be made: {error}"]
    return []


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
            self.input_notes, self.output_notes = await both(
                make_directory(container, self._input_dir, "INPUT_DIR"),
                make_directory(container, self._output_dir, "OUTPUT_DIR"),
            )
        except SandboxError as error:
            self.failure = error
