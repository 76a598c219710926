"""Write an .xlsx workbook with a chart and a conditional format through pandas."""

import openpyxl
import pandas as pd
import xlsxwriter

frame = pd.DataFrame({"month": ["Jan", "Feb", "Mär"], "amount": [3, -1, 2]})
with pd.ExcelWriter("report.xlsx", engine="xlsxwriter") as writer:
    frame.to_excel(writer, sheet_name="Report", index=False)
    sheet = writer.sheets["Report"]
    chart = writer.book.add_chart({"type": "line"})
    chart.add_series({"values": "=Report!$B$2:$B$4"})
    sheet.insert_chart("D2", chart)
    sheet.conditional_format("B2:B4", {"type": "data_bar"})
assert openpyxl.load_workbook("report.xlsx")["Report"]["A4"].value == "Mär"
print(f"xlsxwriter {xlsxwriter.__version__}: an .xlsx workbook with a chart")
