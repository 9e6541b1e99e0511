"""The fold as people write it in pandas: a function over the events of each user."""

import json
import os
import sys

import pandas as pd

folder, part = sys.argv[1], int(sys.argv[2])
with open(os.path.join(folder, "files.json")) as f:
    files = json.load(f)
files = files[: (len(files) + part - 1) // part]
events = pd.concat([pd.read_parquet(f["Path"], columns=["seq", "user_id", "value"]) for f in files])
marks = pd.concat([pd.read_parquet(f["Marks"], columns=["seq"]) for f in files])
events = events[~events["seq"].isin(marks["seq"])]
events["value"] = (events["value"].astype("float64") * 100).round().astype("int64")


def fold(frame):
    total, n, largest = 0, 0, 0
    for value in frame["value"].to_numpy():
        total += value
        n += 1
        if value > largest:
            largest = value
    return pd.Series({"total": total, "n": n, "largest": largest})


rows = events.groupby("user_id", sort=True)[["value"]].apply(fold)
print(len(rows), int(rows["n"].sum()), int(rows["total"].sum()))
