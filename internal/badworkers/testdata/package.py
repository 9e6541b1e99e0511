"""Workers that use the package: its clock and chance are the event's."""
import datetime
import random
import sys
import time

import recount

WORKERS = {}


def worker(function):
    @recount.fold(columns={"user_id": "string", "out": "string"}, reads=["time", "id", "tag"])
    class Fold:
        def __init__(self, key):
            self.user_id, self.out = key["user_id"], ""

        def step(self, event):
            self.out = str(function(event))

        def rows(self):
            return {"user_id": self.user_id, "out": self.out}

    WORKERS[function.__name__] = Fold
    return function


@worker
def random_of_the_package(event):
    return random.random()


@worker
def raw_clock(event):
    return time.clock_gettime(time.CLOCK_REALTIME) // 86400


@worker
def good_now(event):  # under event: {order: …}
    return datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc)


@worker
def set_of_texts(event):
    return list({event["tag"], "a", "b", "c", "d"})


recount.run(WORKERS[sys.argv[1]])
