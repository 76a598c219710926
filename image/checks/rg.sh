# Search files below here.
mkdir -p deep/er && echo 'needle 42' >deep/er/hay.txt && echo nothing >other.txt
[ "$(rg --no-heading -o 'needle \d+')" = 'deep/er/hay.txt:needle 42' ]
echo "rg: $(rg --version | head -1)"
