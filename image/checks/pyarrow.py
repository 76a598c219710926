"""Write and read a Parquet file, compressed, through pandas."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

frame = pd.DataFrame({"n": range(1000), "text": ["ä"] * 1000, "day": pd.date_range("2025-01-01", periods=1000)})
for compression in ("snappy", "zstd", "gzip", "brotli"):
    frame.to_parquet("table.parquet", compression=compression)
    assert pd.read_parquet("table.parquet").equals(frame), compression
assert pq.read_table("table.parquet", filters=[("n", "<", 10)]).num_rows == 10
print(f"pyarrow {pa.__version__}: Parquet with four compressions")
