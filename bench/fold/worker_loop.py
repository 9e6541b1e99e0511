"""The fold in Python as a loop over events."""

import recount


@recount.fold(columns={"user_id": "string", "total": "decimal(38,2)", "n": "int64", "largest": "decimal(18,2)"})
class Totals:
    def __init__(self, key):
        self.user_id, self.total, self.n, self.largest = key["user_id"], 0, 0, 0

    def step(self, value):
        self.total += value
        self.n += 1
        if value > self.largest:
            self.largest = value

    def rows(self):
        return {"user_id": self.user_id, "total": self.total, "n": self.n, "largest": self.largest}


if __name__ == "__main__":
    recount.run(Totals)
