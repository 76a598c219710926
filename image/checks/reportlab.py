"""Draw a vector picture to PNG by pycairo, and a PDF with an embedded CJK font."""

import cairo
import pypdf
import reportlab
from PIL import Image
from reportlab.graphics import renderPM
from reportlab.graphics.charts.barcharts import VerticalBarChart
from reportlab.graphics.shapes import Drawing
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

drawing = Drawing(200, 100)
chart = VerticalBarChart()
chart.data = [(1, 3, 2)]
drawing.add(chart)
renderPM.drawToFile(drawing, "chart.png", fmt="PNG", backend="rlPyCairo")
assert Image.open("chart.png").convert("L").getextrema()[0] < 128, "an empty picture"

pdfmetrics.registerFont(TTFont("CJK", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"))
page = canvas.Canvas("cjk.pdf")
page.setFont("CJK", 24)
page.drawString(72, 700, "中文报告")
page.save()
assert "中文报告" in pypdf.PdfReader("cjk.pdf").pages[0].extract_text()
print(f"reportlab {reportlab.__version__} with pycairo {cairo.version}: a chart as PNG, a PDF with CJK text")
