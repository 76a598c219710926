"""Make a presentation with a table, a chart and a picture, and read it back."""

from PIL import Image
from pptx import Presentation, __version__
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

Image.new("RGB", (40, 40), "navy").save("dot.png")
deck = Presentation()
slide = deck.slides.add_slide(deck.slide_layouts[5])
slide.shapes.title.text = "Quartalszahlen 第一"
slide.shapes.add_picture("dot.png", Inches(1), Inches(2))
slide.shapes.add_table(2, 2, Inches(1), Inches(3), Inches(4), Inches(1)).table.cell(0, 0).text = "cell"
data = CategoryChartData()
data.categories = ["a", "b"]
data.add_series("s", (1, 2))
slide.shapes.add_chart(XL_CHART_TYPE.PIE, Inches(5), Inches(2), Inches(4), Inches(3), data)
deck.save("deck.pptx")
again = Presentation("deck.pptx").slides[0]
assert again.shapes.title.text == "Quartalszahlen 第一"
assert sum(shape.has_chart for shape in again.shapes) == 1
print(f"python-pptx {__version__}: a slide with a table, a chart and a picture")
