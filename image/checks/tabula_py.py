"""Read a table from a PDF by tabula, which runs a JVM."""

import sample_pdf
import tabula

tables = tabula.read_pdf(sample_pdf.make(), pages=1, lattice=True)
assert tables[0]["Amount"].to_list() == [10, 20, 30], tables
print("tabula-py: a table read from a PDF")
