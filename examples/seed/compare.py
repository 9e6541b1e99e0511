"""Runs the obvious script's steps with some of its faults mended, and counts what is still wrong."""

import sys

import pandas as pd

START, END = "2024-06-10 12:00:00", "2024-06-10 12:30:00"
events = pd.read_csv("archived_events.csv", dtype={"user_id": str})
events["timestamp"] = pd.to_datetime(events["timestamp"])
existing = pd.read_csv("existing_results.csv", dtype={"user_id": str})
expected = pd.read_csv("expected_corrections.csv", dtype=str)
right = set(expected[expected["action"] != "extra"]["user_id"])


def corrections(end_included, repeats_counted, floats):
    after_start = events["timestamp"] >= START
    window = events[after_start & (events["timestamp"] <= END if end_included else events["timestamp"] < END)]
    if not repeats_counted:
        window = window.drop_duplicates("event_id")
    if not floats:
        window = window.assign(value=(window["value"] * 100).round().astype("int64"))
    sums = window.groupby("user_id", as_index=False)["value"].sum()
    if not floats:
        sums["value"] = sums["value"] / 100
    both = existing.merge(sums, on="user_id", how="outer", suffixes=("_before", "_after"))
    wrong = both[both["value_before"] != both["value_after"]]
    blanked = wrong["value_after"].isna().sum()
    proposed = set(wrong[wrong["value_after"].notna()]["user_id"])
    return len(wrong), len(proposed - right), len(right - proposed), blanked


print(f"{'':34}{'printed':>9}{'false':>9}{'missed':>9}{'blanked':>9}")
for name, faults in {
    "the script": (True, True, True),
    "only: the end is included": (True, False, False),
    "only: repeats are counted": (False, True, False),
    "only: binary floats": (False, False, True),
    "none of the three": (False, False, False),
}.items():
    print(f"{name:34}" + "".join(f"{n:>9}" for n in corrections(*faults)))

try:
    pd.to_datetime(pd.Series(["2024-06-10 12:00:01.000", "2024-06-10 12:00:01"]))
except ValueError as err:
    print("mixed precision:", str(err).splitlines()[0], file=sys.stdout)
