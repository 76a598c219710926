"""Convert between the documented picture formats, and draw CJK text and a colour emoji."""

import PIL
from PIL import Image, ImageDraw, ImageFont

picture = Image.new("RGB", (64, 48), (200, 30, 30))
for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"):
    picture.save(f"picture.{kind}", kind)
    with Image.open(f"picture.{kind}") as again:
        assert again.size == (64, 48), kind

canvas = Image.new("RGB", (300, 150), "white")
draw = ImageDraw.Draw(canvas)
cjk = ImageFont.truetype("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", 40)
assert bytes(cjk.getmask("中")) != bytes(cjk.getmask("文")), "every letter is the same box"
emoji = ImageFont.truetype("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", 109)
draw.text((150, 10), "😀", font=emoji, embedded_color=True)
colours = {colour for _, colour in canvas.getcolors(100_000)}
assert any(red > 200 and blue < 100 for red, _, blue in colours), "the emoji has no colour"
print(f"pillow {PIL.__version__}: six formats, CJK text, a colour emoji")
