"""The versions of the tool that this server has."""

from codecove.tools.base import Tool
from codecove.tools.code_execution_20250522 import CodeExecution20250522
from codecove.tools.code_execution_20250825 import CodeExecution20250825

_TOOLS: tuple[Tool, ...] = (
    CodeExecution20250522(),
    CodeExecution20250825(),
    # The later versions add a Python that keeps its state, for tools called from code. What the model calls
    # directly is the same.
    CodeExecution20250825("code_execution_20260120"),
    CodeExecution20250825("code_execution_20260521"),
)

VERSIONS: dict[str, Tool] = {tool.type: tool for tool in _TOOLS}
