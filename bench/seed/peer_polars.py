"""The same comparison in polars, by someone who knows it: exact, deduplicated."""

import sys
from datetime import datetime

import polars as pl

events_file, existing_file, start, end = sys.argv[1:5]
window = (
    pl.scan_parquet(events_file)
    .filter((pl.col("timestamp") >= datetime.fromisoformat(start)) & (pl.col("timestamp") < datetime.fromisoformat(end)))
    .unique("event_id")
    .group_by("user_id")
    .agg(pl.col("value").sum())
)
existing = pl.scan_csv(existing_file, schema={"user_id": pl.String, "value": pl.Decimal(18, 2)})
both = existing.join(window, on="user_id", how="full", coalesce=True, suffix="_after").collect()
wrong = both.filter(pl.col("value").ne_missing(pl.col("value_after")) & pl.col("value_after").is_not_null())
wrong.write_csv("corrections_polars.csv")
print(len(wrong))
