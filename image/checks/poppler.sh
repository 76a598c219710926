# Text, facts and a picture of a PDF.
python3 -c 'import sample_pdf; sample_pdf.make("report.pdf")'
pdftotext -layout report.pdf - | grep -q 'Annual report'
pdfinfo report.pdf | grep -q '^Pages: *2$'
pdftoppm -png -r 40 report.pdf page && file page-1.png | grep -q PNG
echo "poppler: $(pdftotext -v 2>&1 | head -1)"
