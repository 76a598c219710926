# mypy: ignore-errors
"""Real documents there and back, with the Python client of any version.

Arguments: URL, key and model. The server's code makes a workbook and a PDF; they are uploaded under other names, with
two tables of one name, read by code, and what that makes is fetched.
"""

import json
import sys

import anthropic

FILES = "files-api-2025-04-14"
TOOL = {"type": "code_execution_20250522", "name": "code_execution"}
url, key, model = sys.argv[1:]
client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=120)


def ask(content):
    answer = client.beta.messages.create(
        model=model,
        max_tokens=1000,
        tools=[TOOL],
        betas=["code-execution-2025-05-22", FILES],
        messages=[{"role": "user", "content": content}],
    )
    blocks = [json.loads(block.model_dump_json()) for block in answer.content]
    (result,) = [block["content"] for block in blocks if block["type"] == "code_execution_tool_result"]
    made = {}
    for output in result["content"]:
        name = client.beta.files.retrieve_metadata(output["file_id"], betas=[FILES]).filename
        made[name] = client.beta.files.download(output["file_id"], betas=[FILES]).read()
    return result, made


_, made = ask("Make documents.")
given = [
    ("Umsätze.csv", "Stadt,Summe\nZürich,3\nKöln,4\n".encode(), "text/csv"),
    ("Umsätze.csv", b"Stadt,Summe\nBern,5\n", "text/csv"),
    ("数据 📊.xlsx", made["book.xlsx"], "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("Bericht 🎉.pdf", made["report.pdf"], "application/pdf"),
]
uploaded = [client.beta.files.upload(file=file, betas=[FILES]) for file in given]
blocks = [{"type": "container_upload", "file_id": file.id} for file in uploaded]
result, made = ask([{"type": "text", "text": "Read them."}, *blocks])
print(
    json.dumps(
        {
            "version": anthropic.__version__,
            "types": [file.mime_type for file in uploaded],
            "stdout": result["stdout"],
            "stderr": result["stderr"],
            "made": {name: data.decode() for name, data in made.items()},
        }
    )
)
