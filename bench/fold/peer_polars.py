"""The fold in polars, which can say it as expressions."""

import json
import os
import sys

import polars as pl

folder, part = sys.argv[1], int(sys.argv[2])
with open(os.path.join(folder, "files.json")) as f:
    files = json.load(f)
files = files[: (len(files) + part - 1) // part]
events = pl.scan_parquet([f["Path"] for f in files]).select("seq", "user_id", "value")
marks = pl.scan_parquet([f["Marks"] for f in files]).select("seq")
rows = (
    events.join(marks, on="seq", how="anti")
    .group_by("user_id")
    .agg(total=pl.col("value").sum(), n=pl.len(), largest=pl.col("value").max())
    .sort("user_id")
    .collect()
)
print(len(rows), int(rows["n"].sum()), int(rows["total"].sum() * 100))
