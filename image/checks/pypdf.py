"""Read a PDF's text, take it apart, put it together again, and encrypt it with AES."""

import pypdf
import sample_pdf

reader = pypdf.PdfReader(sample_pdf.make())
assert "Annual report" in reader.pages[0].extract_text()
writer = pypdf.PdfWriter()
for page in reversed(reader.pages):
    writer.add_page(page)
writer.encrypt("secret", algorithm="AES-256")
writer.write("turned.pdf")
turned = pypdf.PdfReader("turned.pdf", password="secret")
assert "Second page" in turned.pages[0].extract_text()
print(f"pypdf {pypdf.__version__}: text read, pages reordered, encrypted")
