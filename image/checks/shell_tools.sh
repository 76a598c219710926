# The usual tools, each on something small.
echo '{"a": [1, 2]}' | jq -e '.a[1] == 2' >/dev/null
[ "$(printf 'a b\nc d\n' | gawk '{print $2}' | paste -sd,)" = b,d ]
printf 'x 1\nyy 2\n' | column -t | grep -q '^yy  2$'
echo one >f && echo two >g && diff -u f g >p || patch -s f p && cmp f g
[ "$(printf AB | xxd -p)" = 4142 ]
for c in gzip bzip2 xz zstd; do seq 100 | "$c" -c | "$c" -dc | cmp - <(seq 100); done
tar -cJf t.tar.xz f && tar -tf t.tar.xz | grep -q f
file f | grep -q ASCII && tree . >/dev/null && ps aux >/dev/null && less --version >/dev/null
[ "$(TZ=Asia/Tokyo date -d @0 +%H)" = 09 ]
echo "shell: jq, gawk, diff, patch, xxd, tar and the rest"
