"""Turn PDF pages into pictures by poppler."""

import pdf2image
import sample_pdf

pages = pdf2image.convert_from_path(sample_pdf.make(), dpi=50)
assert len(pages) == 2
assert pages[0].convert("L").getextrema()[0] < 50, "an empty page"
print("pdf2image: two pages as pictures")
