"""docs/settings.md, from the settings themselves. A test holds the two together."""

from decimal import Decimal
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo

from codecove.cli.configuration import variable
from codecove.settings import Route, Settings

_HEAD = """\
# Settings

Written by `cove settings --markdown > docs/settings.md`; edit `src/codecove/settings.py` instead.

Each setting is a variable `COVE_<NAME>` or, in lower case, a key of the file `codecove.toml` (in the working
directory, or where `COVE_CONFIG` says). Some are also options of `cove serve`. An option wins over a variable,
a variable over the file. No other program's variables are read. A variable `COVE_…` that is no setting is
reported on stderr when a command starts; a key of the file that is none is an error.

Sizes are bytes, or a number with a unit: `512MiB`, `2GB`. Times are seconds.

"""

_ROUTES = """
## Routes

A list in the config file, for models that other servers answer. The first route whose pattern fits is taken;
a model that fits none goes to `COVE_UPSTREAM_URL`. As a variable, `COVE_ROUTES` is the same list in JSON.

```toml
[[routes]]
model = "claude-*"
upstream_url = "https://llm.example.org"
upstream_api_key = "…"

[[routes]]
model = "small"
upstream_url = "http://127.0.0.1:8081"
upstream_model = "qwen3-4b"
```

"""


def settings_markdown() -> str:
    """The whole document."""
    return _HEAD + _table(Settings, variables=True) + _ROUTES + _table(Route, variables=False)


def _table(model: type[BaseModel], *, variables: bool) -> str:
    lines = [f"| {'variable' if variables else 'key'} | kind | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        shown = variable(name) if variables else name
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{shown}` | {_kind(field.annotation)} | {_default(name, field)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is list:
        return "list"
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    names = {
        ByteSize: "size",
        SecretStr: "secret",
        float: "number",
        Decimal: "number",
        int: "whole number",
        bool: "true or false",
    }
    return names.get(kinds[0], "path" if kinds[0].__name__ == "Path" else "text")


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "(required)"
    if name in ("data_dir", "image_dir"):
        leaf = "data" if name == "data_dir" else "images"
        return f"`/var/lib/codecove/{leaf}`; not as root `~/.local/state/codecove/{leaf}`"
    value = field.get_default(call_default_factory=True)
    if value is None or value == []:
        return "none"
    if isinstance(value, ByteSize):
        return f"`{value.human_readable(separator=' ')}`".replace(".0", "")
    return f"`{value}`"
