"""The content of a result block as a model upstream reads it: text, an image or a document."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from codecove.tools.media import image_media_type_of_base64

MAX_TEXT = 100_000
"""Characters of one stream that a model is given; about 25,000 tokens. The client's block has all that was kept."""
MAX_IMAGE = 5 * 2**20
"""Base64 characters of an image that models take."""
MAX_PDF = 32 * 2**20
"""Base64 characters of a PDF that models take."""

Content = str | list[dict[str, Any]]


def success(content: object) -> Content:
    """Text, or a list of one image or document block; may be empty. Unknown content is given as JSON."""
    if isinstance(content, str):
        return _cut(content)
    if isinstance(content, dict):
        kind = content.get("type")
        render = _RENDERERS.get(kind) if isinstance(kind, str) else None
        if render is not None:
            return render(content)
    if not content:
        return ""
    return _cut(json.dumps(content, ensure_ascii=False, sort_keys=True, default=str))


def error(content: object) -> str:
    """`code: message`."""
    fields = content if isinstance(content, dict) else {}
    code = fields.get("error_code") or "unavailable"
    message = fields.get("error_message")
    return _cut(f"{code}: {message}" if message else f"{code}")


def _execution(content: Mapping[str, Any]) -> str:
    """stdout as it is; what else there is to know under headings in brackets."""
    parts = []
    if "encrypted_stdout" in content:
        parts.append("[stdout is encrypted: only the server that made it can read it]")
    elif stdout := _text(content.get("stdout")):
        parts.append(_cut(stdout))
    if stderr := _text(content.get("stderr")):
        parts.append(f"[stderr]\n{_cut(stderr)}")
    if (return_code := content.get("return_code")) not in (0, None):
        parts.append(f"[return code {return_code}]")
    if file_ids := _file_ids(content.get("content")):
        parts.append(f"[files given to the user: {', '.join(file_ids)}]")
    return _join(parts)


def _view(content: Mapping[str, Any]) -> Content:
    text = _text(content.get("content"))
    file_type = content.get("file_type")
    if file_type == "image":
        return _image(text)
    if file_type == "pdf":
        return _pdf(text)
    first, shown, total = (_count(content, name) for name in ("start_line", "num_lines", "total_lines"))
    if first is None or shown is None or total is None or shown >= total:
        return _cut(text)
    return _join([_cut(text), f"[lines {first}-{first + shown - 1} of {total}]"])


def _image(data: str) -> Content:
    media_type = image_media_type_of_base64(data)
    if media_type is None:
        return "[an image of a kind that can't be shown to a model]"
    if len(data) > MAX_IMAGE:
        return f"[a {media_type} too large to show to a model: make it smaller with Pillow and view that]"
    return [{"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}]


def _pdf(data: str) -> Content:
    if len(data) > MAX_PDF:
        return "[a PDF too large to show to a model: take the pages you need with pypdf]"
    return [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}}]


def _create(content: Mapping[str, Any]) -> str:
    return "File updated." if content.get("is_file_update") else "File created."


def _str_replace(content: Mapping[str, Any]) -> str:
    numbers = [_count(content, name) for name in ("old_start", "old_lines", "new_start", "new_lines")]
    lines = content.get("lines")
    body = "\n".join(_text(line) for line in lines) if isinstance(lines, list) else ""
    if None in numbers:
        return _join(["File edited.", _cut(body)] if body else ["File edited."])
    old_start, old_lines, new_start, new_lines = numbers
    return _join(["File edited.", f"@@ -{old_start},{old_lines} +{new_start},{new_lines} @@", _cut(body)])


_RENDERERS: dict[str, Callable[[Mapping[str, Any]], Content]] = {
    "code_execution_result": _execution,
    "encrypted_code_execution_result": _execution,
    "bash_code_execution_result": _execution,
    "text_editor_code_execution_view_result": _view,
    "text_editor_code_execution_create_result": _create,
    "text_editor_code_execution_str_replace_result": _str_replace,
}


def camel_case(name: str) -> str:
    """`num_lines` → `numLines`, as the document spells the editor's counts."""
    head, _, tail = name.partition("_")
    return head + tail.capitalize()


def _count(content: Mapping[str, Any], name: str) -> int | None:
    """One of the editor's counts, as the service spells it (`num_lines`) or as its document does (`numLines`)."""
    value = content.get(name, content.get(camel_case(name)))
    return value if isinstance(value, int) else None


def _file_ids(entries: object) -> list[str]:
    if not isinstance(entries, list):
        return []
    return [entry["file_id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("file_id"), str)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _join(parts: list[str]) -> str:
    """Each part on its own line, whether or not the one before ended with a newline; empty parts are left out."""
    parts = [part for part in parts if part]
    return "".join(part if part.endswith("\n") else part + "\n" for part in parts[:-1]) + "".join(parts[-1:])


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    cut = len(text) - 2 * half
    note = f"[... {cut:,} characters not shown: write long output to a file and read parts of it ...]"
    return f"{text[:half]}\n{note}\n{text[-half:]}"
