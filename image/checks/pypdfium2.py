"""Render a PDF page, and read its text."""

import pypdfium2
import sample_pdf

document = pypdfium2.PdfDocument(sample_pdf.make())
assert len(document) == 2
assert "Annual report" in document[0].get_textpage().get_text_range()
picture = document[0].render(scale=1).to_pil()
assert picture.convert("L").getextrema()[0] < 100, "an empty page"
print(f"pypdfium2 {pypdfium2.PYPDFIUM_INFO}: a page rendered")
