"""Write a calculation of Recount in Python.

A worker is a program that Recount starts, hands the events of one key after the
other, and asks for rows::

    import recount

    @recount.fold(columns={"user_id": "string", "total": "decimal(18,2)"})
    class Totals:
        def __init__(self, key):
            self.user_id, self.total = key["user_id"], 0

        def step(self, event):
            self.total += event["value"]

        def rows(self):
            return {"user_id": self.user_id, "total": self.total}

    if __name__ == "__main__":
        recount.run(Totals)

While it runs, the clock stands at the event's time, randomness begins anew with
each event, and what it prints goes to standard error: standard output belongs to
the protocol (docs/worker-protocol.md of Recount).
"""

import os as _os

from ._folds import Effect, Fold, Key, effect, fold, fold_events, pandas, vectorised
from ._groups import Groups, scaled
from ._run import run, take_pipes

__all__ = ["Effect", "Fold", "Groups", "Key", "effect", "fold", "fold_events", "pandas", "run", "scaled", "vectorised"]
__version__ = "0.1.0"

if "RECOUNT_SEED" in _os.environ:
    # Recount has started this process: what a module prints as it is imported must
    # not stand in the protocol.
    take_pipes()
