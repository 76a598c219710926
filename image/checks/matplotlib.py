"""Draw a chart with text in several scripts: every letter must come from a font that has it, without a display."""

import warnings

import matplotlib
import matplotlib.pyplot as plt
from PIL import Image

assert matplotlib.get_backend().lower() == "agg", matplotlib.get_backend()
warnings.simplefilter("error")  # a glyph that no font has is a warning, and a box in the picture
for style in ("default", "seaborn-v0_8"):
    with plt.style.context(style):
        figure, axes = plt.subplots()
        axes.bar(["Ärger", "中文", "日本語", "한국어"], [3, 1, 2, 4])
        axes.set_title("Κόσμος, мир, ∑√∞, 📈 🚀 😀")
        axes.set_xlabel(r"$\frac{\alpha}{\beta^2}$")
        figure.savefig(f"{style}.png", dpi=80)
        figure.savefig(f"{style}.pdf")
        figure.savefig(f"{style}.svg")
        plt.close(figure)
with Image.open("default.png") as picture:
    assert picture.size == (512, 384)
print(f"matplotlib {matplotlib.__version__}: charts with CJK and emoji as PNG, PDF and SVG")
