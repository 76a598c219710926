"""Containers that last over requests; files into and out of them."""

import anthropic
import pytest

from tests.conformance.conftest import OLDER, Ask, container_id, content_of, results, then, user
from tests.support.script import Json, Turn, bash, edit, python, say
from tests.support.upstream import ScriptedUpstream

FILES = "files-api-2025-04-14"

pytestmark = pytest.mark.sandbox


def upload(client: anthropic.Anthropic, name: str, data: bytes, media_type: str = "text/csv") -> str:
    return client.beta.files.upload(file=(name, data, media_type), betas=[FILES]).id


def with_files(text: str, *file_ids: str) -> list[Json]:
    uploads: list[Json] = [{"type": "container_upload", "file_id": file_id} for file_id in file_ids]
    return user([{"type": "text", "text": text}, *uploads])


def test_a_container_named_again_has_its_files(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo 42 > /tmp/n; echo here > here.txt")]), Turn([say("Kept.")]))
    first = ask("Keep it.")
    upstream.script(Turn([bash("cat /tmp/n here.txt")]), Turn([say("42")]))
    second = ask(then(user("Keep it."), first, "What was it?"), container=container_id(first))
    assert results(second)[0]["stdout"] == "42\nhere\n"
    assert container_id(second) == container_id(first)
    assert second.container is not None
    assert first.container is not None
    assert second.container.expires_at >= first.container.expires_at


def test_a_container_may_be_named_by_an_object(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(Turn([bash("echo 42 > /tmp/n")]), Turn([say("Kept.")]))
    first = ask("Keep it.")
    upstream.script(Turn([bash("cat /tmp/n")]), Turn([say("42")]))
    second = ask("Read /tmp/n.", container={"id": container_id(first)})
    assert results(second)[0]["stdout"] == "42\n"


def test_requests_without_a_container_do_not_share_one(ask: Ask, upstream: ScriptedUpstream) -> None:
    upstream.script(
        Turn([bash("touch /tmp/mine")]), Turn([say("Made.")]), Turn([bash("ls /tmp")]), Turn([say("Empty.")])
    )
    first, second = ask("Make it."), ask("List it.")
    assert container_id(first) != container_id(second)
    assert "mine" not in results(second)[0]["stdout"]


def test_an_unknown_container_is_not_found(ask: Ask, upstream: ScriptedUpstream) -> None:
    with pytest.raises(anthropic.NotFoundError, match="container_01nowhere"):
        ask("Hi", container="container_01nowhere")
    assert upstream.requests == []


def test_an_uploaded_file_is_in_the_input_directory(
    ask: Ask, client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    file_id = upload(client, "sales.csv", b"month,sum\nmay,3\njune,4\n")
    upstream.script(
        Turn([edit(command="view", path="$INPUT_DIR/sales.csv")]),
        Turn([bash("awk -F, 'NR > 1 {s += $2} END {print s}' $INPUT_DIR/sales.csv")]),
        Turn([say("Seven.")]),
    )
    answer = ask(with_files("Sum it up.", file_id), betas=["code-execution-2025-08-25", FILES])
    view, total = results(answer)
    assert view["content"].startswith("month,sum")
    assert total["stdout"] == "7\n"
    assert "$INPUT_DIR/sales.csv" in str(upstream.requests[0].messages)


def test_two_uploads_of_one_name_both_survive(
    ask: Ask, client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    ids = [upload(client, "data.csv", data) for data in (b"first\n", b"second\n")]
    upstream.script(Turn([bash("cat $INPUT_DIR/*")]), Turn([say("Both.")]))
    answer = ask(with_files("Read both.", *ids))
    assert sorted(results(answer)[0]["stdout"].split()) == ["first", "second"]


def test_an_upload_that_does_not_exist_is_refused_before_anything_starts(ask: Ask, upstream: ScriptedUpstream) -> None:
    with pytest.raises(anthropic.NotFoundError, match="file_01nowhere"):
        ask(with_files("Read.", "file_01nowhere"))
    assert upstream.requests == []


@pytest.mark.parametrize("version", ["older", "newer"])
def test_a_file_made_by_an_execution_can_be_downloaded(
    version: str, ask: Ask, client: anthropic.Anthropic, upstream: ScriptedUpstream
) -> None:
    older = version == "older"
    made = python("import os; open(os.environ['OUTPUT_DIR'] + '/ü.txt', 'w').write('made')")
    upstream.script(Turn([made if older else bash("printf made > $OUTPUT_DIR/ü.txt")]), Turn([say("Made.")]))
    answer = ask("Make a file.", **({"tools": [OLDER]} if older else {}))
    (output,) = results(answer)[0]["content"]
    assert output["type"] == ("code_execution_output" if older else "bash_code_execution_output")
    assert client.beta.files.download(output["file_id"], betas=[FILES]).read() == b"made"
    metadata = client.beta.files.retrieve_metadata(output["file_id"], betas=[FILES])
    assert (metadata.filename, metadata.size_bytes, metadata.downloadable) == ("ü.txt", 4, True)
    assert output["file_id"] in [file.id for file in client.beta.files.list(betas=[FILES])]


def test_an_upload_cannot_be_downloaded_and_can_be_deleted(client: anthropic.Anthropic) -> None:
    file_id = upload(client, "mine.csv", b"a\n")
    with pytest.raises(anthropic.BadRequestError):
        client.beta.files.download(file_id, betas=[FILES])
    assert client.beta.files.delete(file_id, betas=[FILES]).id == file_id
    with pytest.raises(anthropic.NotFoundError):
        client.beta.files.retrieve_metadata(file_id, betas=[FILES])


def test_a_plot_from_an_uploaded_table(ask: Ask, client: anthropic.Anthropic, upstream: ScriptedUpstream) -> None:
    file_id = upload(client, "table.csv", b"x,y\n1,2\n2,4\n3,8\n")
    code = (
        "import os, pandas as pd\nimport matplotlib.pyplot as plt\n"
        "t = pd.read_csv(os.environ['INPUT_DIR'] + '/table.csv')\n"
        "t.plot(x='x', y='y'); plt.savefig(os.environ['OUTPUT_DIR'] + '/plot.png'); print(t.y.sum())"
    )
    upstream.script(Turn([python(code)]), Turn([say("Drawn.")]))
    answer = ask(with_files("Draw it.", file_id), tools=[OLDER])
    result = results(answer)[0]
    assert (result["stdout"], result["stderr"], result["return_code"]) == ("14\n", "", 0)
    picture = client.beta.files.download(result["content"][0]["file_id"], betas=[FILES]).read()
    assert picture.startswith(b"\x89PNG")
    assert content_of(answer)[-1] == {"type": "text", "text": "Drawn."}
