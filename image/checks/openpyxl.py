"""Write an .xlsx workbook with a formula, a chart and a format, and read it back, through pandas too."""

import openpyxl
import pandas as pd
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Font

book = openpyxl.Workbook()
sheet = book.active
for row in [("city", "amount"), ("Berlin", 10), ("Zürich", 20)]:
    sheet.append(row)
sheet["B4"] = "=SUM(B2:B3)"
sheet["A1"].font = Font(bold=True)
chart = BarChart()
chart.add_data(Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True)
sheet.add_chart(chart, "D2")
book.save("sales.xlsx")
assert openpyxl.load_workbook("sales.xlsx").active["B4"].value == "=SUM(B2:B3)"
assert pd.read_excel("sales.xlsx", nrows=2)["city"].to_list() == ["Berlin", "Zürich"]
print(f"openpyxl {openpyxl.__version__}: an .xlsx workbook with a chart")
