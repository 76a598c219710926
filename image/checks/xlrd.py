"""Read an .xls workbook of Excel 97: text, numbers and dates, directly and through pandas."""

import os

import pandas as pd
import xlrd

path = os.environ["CHECK_DATA"] + "/sales.xls"
sheet = xlrd.open_workbook(path).sheet_by_name("Sales")
assert sheet.col_values(0) == ["city", "Berlin", "München", "東京"], sheet.col_values(0)
frame = pd.read_excel(path)
assert frame["amount"].to_list() == [12.5, 30, -2.25], frame
assert frame["day"].dt.month.to_list() == [1, 2, 3], frame
print(f"xlrd {xlrd.__version__}: an .xls workbook read")
