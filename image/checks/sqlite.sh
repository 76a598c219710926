# Import a CSV file and query it.
printf 'city,amount\nBerlin,10\nParis,20\nBerlin,5\n' >sales.csv
sqlite3 sales.db '.mode csv' '.import sales.csv sales'
[ "$(sqlite3 sales.db 'select city, sum(amount) from sales group by city order by city')" = "Berlin|15
Paris|20" ]
echo "sqlite: $(sqlite3 --version | cut -d' ' -f1)"
