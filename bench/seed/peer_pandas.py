"""The seed's pandas script, corrected only so far that it runs on these files."""

import hashlib
import sys

import pandas as pd

events_file, existing_file, start, end = sys.argv[1:5]
events = pd.read_csv(events_file, dtype={"user_id": str})
events["timestamp"] = pd.to_datetime(events["timestamp"])
window = events[(events["timestamp"] >= start) & (events["timestamp"] <= end)]
recalculated = window.groupby("user_id", as_index=False)["value"].sum()
existing = pd.read_csv(existing_file, dtype={"user_id": str})


def md5(row):
    return hashlib.md5(f"{row[0]}|{row[1]}".encode()).hexdigest()


recalculated["checksum"] = [md5(r) for r in recalculated[["user_id", "value"]].itertuples(index=False)]
existing["checksum"] = [md5(r) for r in existing[["user_id", "value"]].itertuples(index=False)]
both = existing.merge(recalculated, on="user_id", how="outer", suffixes=("_before", "_after"))
wrong = both[both["checksum_before"] != both["checksum_after"]]
wrong.to_csv("corrections_pandas.csv", index=False)
print(len(wrong))
