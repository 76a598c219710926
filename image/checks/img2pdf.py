"""Put pictures into a PDF as they are."""

from pathlib import Path

import img2pdf
import pypdf
from PIL import Image

for name in ("one.jpg", "two.png"):
    Image.new("RGB", (60, 40), "teal").save(name)
Path("album.pdf").write_bytes(img2pdf.convert(["one.jpg", "two.png"]))
assert len(pypdf.PdfReader("album.pdf").pages) == 2
print(f"img2pdf {img2pdf.__version__}: two pictures as a PDF")
