"""The folds of the engine suite, by what they mean."""

import sys
import time
from decimal import Decimal

import recount

meaning = sys.argv[1]
TOTALS = {"user_id": "string", "total": "decimal(18,2)", "n": "int64"}


class Totals:
    def __init__(self, key):
        self.user_id, self.total, self.n = key["user_id"], None, 0

    def step(self, event):
        value = event["value"]
        if meaning == "poison" and value == 13:
            sys.exit("thirteen")
        while meaning == "endless" and value == 13:
            pass
        if meaning == "mails" and value is not None and value > 5:
            recount.effect("mail", self.user_id, {"value": value})
        if value is not None:
            self.total = (self.total or 0) + value
        self.n += 1

    def rows(self):
        return {"user_id": self.user_id, "total": self.total, "n": self.n}


class IDs:
    def __init__(self, key):
        self.user_id, self.ids, self.hits, self.hit = key["user_id"], [], [], 0

    def step(self, id, hit):
        self.hit += bool(hit)
        if id is not None:
            self.ids.append(id)
            if hit:
                self.hits.append(id)

    def rows(self):
        hits = self.hit if meaning == "history" else " ".join(self.hits) or None
        return {"user_id": self.user_id, "ids": " ".join(self.ids) or None, "hits": hits}


class Days:
    def __init__(self, key):
        self.user_id, self.days = key["user_id"], {}

    def step(self, event):
        day = event["time"].date()
        self.days[day] = self.days.get(day, 0) + 1

    def rows(self):
        for day in sorted(self.days):
            yield {"user_id": self.user_id, "day": day, "n": self.days[day]}


ids = {"user_id": "string", "ids": "string", "hits": "string"}
folds = {
    "ids": (IDs, dict(columns=ids)),
    "history": (IDs, dict(columns={**ids, "hits": "int64"})),
    "days": (Days, dict(columns={"user_id": "string", "day": "date", "n": "int64"}, reads=["time"])),
}
cls, options = folds.get(meaning, (Totals, dict(columns=TOTALS, reads=["value"], effects=meaning == "mails")))
recount.run(recount.fold(**options)(cls))
