"""Read a PDF's text and table."""

import pdfplumber
import sample_pdf

with pdfplumber.open(sample_pdf.make()) as document:
    assert "Annual report" in document.pages[0].extract_text()
    assert document.pages[0].extract_table() == sample_pdf.ROWS, document.pages[0].extract_table()
print(f"pdfplumber {pdfplumber.__version__}: a table read from a PDF")
