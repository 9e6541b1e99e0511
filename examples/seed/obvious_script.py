"""The obvious script for this incident. README.md says what it gets wrong."""

import hashlib
import sys

import pandas as pd

start, end = "2024-06-10 12:00:00", "2024-06-10 12:30:00"

events = pd.read_csv("archived_events.csv", dtype={"user_id": str})
events["timestamp"] = pd.to_datetime(events["timestamp"])
window = events[(events["timestamp"] >= start) & (events["timestamp"] <= end)]
recalculated = window.groupby("user_id", as_index=False)["value"].sum()

existing = pd.read_csv("existing_results.csv", dtype={"user_id": str})


def md5(row):
    return hashlib.md5(f"{row['user_id']}|{row['value']}".encode()).hexdigest()


recalculated["checksum"] = recalculated.apply(md5, axis=1)
existing["checksum"] = existing.apply(md5, axis=1)

both = existing.merge(recalculated, on="user_id", how="outer", suffixes=("_before", "_after"))
wrong = both[both["checksum_before"] != both["checksum_after"]]
wrong[["user_id", "value_before", "value_after"]].to_csv(sys.stdout, index=False)
print(len(wrong), "corrections", file=sys.stderr)
