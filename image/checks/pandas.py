"""Read a CSV file, group it, and write it back."""

from pathlib import Path

import pandas as pd

Path("sales.csv").write_text("city,amount\nBerlin,10\nParis,20\nBerlin,5\n")
totals = pd.read_csv("sales.csv").groupby("city")["amount"].sum()
assert totals.to_dict() == {"Berlin": 15, "Paris": 20}, totals
totals.to_csv("totals.csv")
assert Path("totals.csv").read_text() == "city,amount\nBerlin,15\nParis,20\n"
print(f"pandas {pd.__version__}: totals of a CSV file")
