"""A PDF of two pages for the checks of the libraries that read one: text, and a table with lines."""

from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

ROWS = [["City", "Amount"], ["Berlin", "10"], ["Paris", "20"], ["Rome", "30"]]


def make(path: str = "report.pdf") -> str:
    """Write it and return its path."""
    style = getSampleStyleSheet()["Normal"]
    table = Table(ROWS, style=[("GRID", (0, 0), (-1, -1), 1, "black")])
    SimpleDocTemplate(path, pagesize=A4).build(
        [Paragraph("Annual report", style), table, PageBreak(), Paragraph("Second page", style)]
    )
    return path
