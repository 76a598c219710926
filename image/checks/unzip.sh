# Pack and unpack, with a name that is not ASCII.
mkdir in out && echo hallo >in/grüße.txt
zip -q -r a.zip in && unzip -q a.zip -d out
[ "$(cat out/in/grüße.txt)" = hallo ]
echo "unzip: $(unzip -v | head -1)"
