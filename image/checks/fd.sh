# Find files by name.
mkdir -p deep/er && touch deep/er/report.csv deep/notes.txt
[ "$(fd -e csv)" = deep/er/report.csv ]
echo "fd: $(fd --version)"
