"""The visits of each user: a new one begins after half an hour without a page."""

from datetime import timedelta

import recount

PAUSE = timedelta(minutes=30)


@recount.fold(columns={"user": "string", "visits": "int64", "longest_s": "int64"}, reads=["time"])
class Visits:
    def __init__(self, key):
        self.user = key["user"]
        self.visits = 0
        self.began = self.last = None
        self.longest = timedelta(0)

    def step(self, event):
        if self.last is None or event["time"] - self.last > PAUSE:
            self.visits += 1
            self.began = event["time"]
        self.last = event["time"]
        self.longest = max(self.longest, self.last - self.began)

    def rows(self):
        return {"user": self.user, "visits": self.visits, "longest_s": int(self.longest.total_seconds())}


if __name__ == "__main__":
    recount.run(Visits)
