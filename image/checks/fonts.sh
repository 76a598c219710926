# Every script has a font, and the fonts that documents name are replaced by ones of the same widths.
for text in zh ja ko ru el ar:dejavu he:dejavu; do
    [ -n "$(fc-list ":lang=${text%:*}" family)" ]
done
fc-match Arial | grep -q Liberation
fc-match emoji | grep -q NotoColorEmoji
fc-match 'sans-serif:lang=zh-cn' | grep -q CJK
echo "fonts: $(fc-list | wc -l) faces"
