"""Workers that depend on what they must not, each under its name."""
import gc
import locale
import os
import random
import resource
import secrets
import socket
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date, datetime, timezone

import raw

WORKERS = {}
seen = []  # leaks from key to key
cache = {}


def worker(name):
    def declare(function):
        WORKERS[name] = function
        return function

    return declare


class Each:
    """Asks a function for the row of a key, given its events."""

    def __init__(self, key, greeting, message, function):
        self.key, self.greeting, self.message, self.function, self.events = key, greeting, message, function, []

    def step(self, event):
        self.events.append(event)

    def row(self):
        return str(self.function(self))


@worker("clock")
def _(k):
    return time.time()


@worker("clock_day")
def _(k):
    return datetime.now(timezone.utc).date()


@worker("today")
def _(k):
    return date.today().year


@worker("monotonic")
def _(k):
    return time.monotonic()


@worker("age")
def _(k):
    then = datetime.fromisoformat(k.events[0]["time"].replace("Z", "+00:00"))
    return (datetime.now(timezone.utc) - then).days // 365


@worker("random")
def _(k):
    return random.random()


@worker("sample")
def _(k):
    return random.choice([e["id"] for e in k.events])


@worker("uuid4")
def _(k):
    return uuid.uuid4()


@worker("secrets")
def _(k):
    return secrets.token_hex(4)


@worker("urandom")
def _(k):
    return os.urandom(4).hex()


@worker("set_order")
def _(k):
    return ",".join({e["tag"] for e in k.events})


@worker("dict_of_set")
def _(k):
    return list(dict.fromkeys({e["tag"] for e in k.events}))[0]


@worker("hash")
def _(k):
    return hash(k.key["user_id"]) % 1000


@worker("identity")
def _(k):
    return id(k)


@worker("repr")
def _(k):
    return repr(object())


@worker("local_day")
def _(k):
    then = datetime.fromisoformat(k.events[0]["time"].replace("Z", "+00:00"))
    return datetime.fromtimestamp(then.timestamp()).date()


@worker("local_hour")
def _(k):
    return time.localtime(1718020800).tm_hour


@worker("language")
def _(k):
    return os.environ.get("LANG", "")[:2] == "tr" and "1.234,5" or "1,234.5"


@worker("locale")
def _(k):
    return locale.getlocale()


@worker("hostname")
def _(k):
    return socket.gethostname()


@worker("pid")
def _(k):
    return os.getpid()


@worker("user")
def _(k):
    return os.environ.get("USER")


@worker("environment")
def _(k):
    return len(os.environ)


@worker("folder")
def _(k):
    return os.getcwd()


@worker("temporary")
def _(k):
    return tempfile.mktemp()


@worker("leak")
def _(k):
    seen.append(k.key["user_id"])
    return len(seen)


@worker("cache")
def _(k):
    for e in k.events:  # what is cached by tag is another key's
        cache.setdefault(e["tag"], e["value"])
    return cache[k.events[-1]["tag"]]


@worker("own_file")
def _(k):
    with open("count", "a+") as f:
        f.write("x")
        f.seek(0)
        return len(f.read())


@worker("group_number")
def _(k):
    return k.message["begin"]


@worker("seed")
def _(k):
    return k.greeting["seed"]


@worker("processors")
def _(k):
    return len(os.sched_getaffinity(0))


@worker("split_by_processors")
def _(k):
    n = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count())
    sums = [0.0] * n
    for i, e in enumerate(k.events):
        sums[i % n] += e["weight"]
    return repr(sum(sums))


@worker("thread_race")
def _(k):
    with ThreadPoolExecutor(8) as pool:
        futures = {pool.submit(lambda e=e: e["id"]) for e in k.events}
        return ",".join(f.result() for f in as_completed(futures))


@worker("memory")
def _(k):
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@worker("collector")
def _(k):
    return gc.get_count()


@worker("mtime")
def _(k):
    return os.stat(__file__).st_mtime_ns


@worker("log_order")
def _(k):
    return k.events[-1]["id"]


@worker("float_order")
def _(k):
    total = 0.0
    for e in k.events:
        total += e["weight"]
    return repr(total)


@worker("first_seen")
def _(k):
    return ",".join(dict.fromkeys(e["tag"] for e in k.events))


# Those that are as they should be.


@worker("good_sum")
def _(k):
    from decimal import Decimal

    return sum(Decimal(e["value"]) for e in k.events)


@worker("good_sorted")
def _(k):
    return ",".join(sorted({e["tag"] for e in k.events}))


@worker("good_fsum")
def _(k):
    import math

    return repr(math.fsum(e["weight"] for e in k.events))


@worker("good_utc")
def _(k):
    return max(e["time"] for e in k.events)[:10]


@worker("good_chance")
def _(k):
    return random.Random(k.key["user_id"]).random()


@worker("good_order")  # under event: {order: …}
def _(k):
    return ",".join(e["id"] for e in k.events)


if __name__ == "__main__":
    function = WORKERS[sys.argv[1]]
    raw.run(lambda key, greeting, message: Each(key, greeting, message, function))
