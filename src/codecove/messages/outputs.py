"""The files that executions make, as files of the workspace."""

from collections.abc import Sequence

from codecove.files.names import cleaned
from codecove.files.service import Files, NewFile
from codecove.tools.context import OutputFile, SaveOutputs
from codecove.workspaces import Caller


def saved_by(files: Files, caller: Caller) -> SaveOutputs:
    """Stores outputs for the caller to download."""

    async def save(outputs: Sequence[OutputFile]) -> list[str | Exception]:
        new = [NewFile(cleaned(name), data, downloadable=True) for name, data in outputs]
        outcomes = await files.create_all(caller, new)
        return [outcome if isinstance(outcome, Exception) else outcome.id for outcome in outcomes]

    return save
