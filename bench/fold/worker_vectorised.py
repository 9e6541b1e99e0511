"""The fold in Python over Arrow, many keys at once."""

import numpy

import recount


@recount.vectorised(columns={"user_id": "string", "total": "decimal(38,2)", "n": "int64", "largest": "decimal(18,2)"}, reads=["user_id", "value"])
def totals(groups):
    cents = groups.ints("value")
    return {
        "user_id": groups.first("user_id"),
        "total": recount.scaled(groups.sums(cents), 2),
        "n": groups.counts(),
        "largest": recount.scaled(numpy.maximum.reduceat(cents, groups.starts) if len(groups) else cents, 2, 18),
    }


if __name__ == "__main__":
    recount.run(totals)
