"""Turn HTML into a PDF by wkhtmltopdf, without a display, with CJK text."""

import unicodedata

import pdfkit
import pypdf

html = "<meta charset='utf-8'><h1>Rechnung</h1><table border=1><tr><td>中文 ü</td></tr></table>"
assert pdfkit.from_string(html, "bill.pdf")
# Qt names some glyphs by the radical that looks the same; normalising undoes that.
text = pypdf.PdfReader("bill.pdf").pages[0].extract_text()
text = unicodedata.normalize("NFKC", text)
assert "Rechnung" in text, text
assert "中文" in text, text
print(f"pdfkit {pdfkit.__version__}: HTML as a PDF")
