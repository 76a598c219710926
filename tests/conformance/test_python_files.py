"""A CSV, a workbook and a PDF, uploaded and read by the libraries in the container, by the Python clients."""

import json
import sys

import pytest

from tests.conformance.environments import CLIENTS, python_environment, run
from tests.support.script import Turn, python, say
from tests.support.server import Server
from tests.support.upstream import MODEL, ScriptedUpstream

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300)]

MAKE = """
import os, openpyxl
from reportlab.pdfgen.canvas import Canvas
os.chdir(os.environ["OUTPUT_DIR"])
book = openpyxl.Workbook()
for row in [["城市", "数"], ["北京", 8], ["上海", 9]]:
    book.active.append(row)
book.save("book.xlsx")
page = Canvas("report.pdf")
page.drawString(72, 700, "Forty-two pages")
page.save()
"""
READ = """
import glob, os, pandas as pd, pypdf
os.chdir(os.environ["INPUT_DIR"])
tables = pd.concat(pd.read_csv(name) for name in glob.glob("*.csv"))
book = pd.read_excel("数据 📊.xlsx")
text = pypdf.PdfReader("Bericht 🎉.pdf").pages[0].extract_text()
print(len(os.listdir()), sorted(tables["Stadt"]), tables["Summe"].sum(), book["数"].sum(), text.strip())
book.to_csv(os.environ["OUTPUT_DIR"] + "/Übersicht 结果.csv", index=False)
"""


@pytest.mark.parametrize("version", ["0.54.0", "current"])
def test_documents_are_read_by_code_and_its_results_fetched(
    server: Server, upstream: ScriptedUpstream, version: str
) -> None:
    upstream.script(Turn([python(MAKE)]), Turn([say("Made.")]), Turn([python(READ)]), Turn([say("Read.")]))
    interpreter = sys.executable if version == "current" else str(python_environment(f"python-{version}"))
    answer = json.loads(run([interpreter, str(CLIENTS / "files.py"), server.url, server.api_key, MODEL]))
    assert answer["stderr"] == ""
    assert answer["stdout"] == "4 ['Bern', 'Köln', 'Zürich'] 12 17 Forty-two pages\n"
    assert answer["made"] == {"Übersicht 结果.csv": "城市,数\n北京,8\n上海,9\n"}
    assert [name.rpartition("/")[2] for name in answer["types"]][-1] == "pdf"
    assert version in ("current", answer["version"])
