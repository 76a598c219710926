"""Write a document with a heading, a table and a picture, and read it back."""

import docx
from PIL import Image

Image.new("RGB", (40, 40), "navy").save("dot.png")
document = docx.Document()
document.add_heading("Bericht", 1)
document.add_paragraph("Grüße, 世界", style="List Bullet")
document.add_table(2, 2).cell(1, 1).text = "cell"
document.add_picture("dot.png")
document.save("report.docx")
again = docx.Document("report.docx")
assert [paragraph.text for paragraph in again.paragraphs][:2] == ["Bericht", "Grüße, 世界"]
assert again.tables[0].cell(1, 1).text == "cell"
print(f"python-docx {docx.__version__}: a document with a table and a picture")
