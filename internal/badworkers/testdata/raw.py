"""A worker that speaks the protocol itself, with nothing between it and the machine."""
import json
import os
import sys


def run(make, reads=("time", "value", "weight", "tag", "id"), out="string"):
    """make(key, greeting, message) gives an object with step(event) and row()."""
    source = sys.stdin.buffer
    greeting = json.loads(source.readline())
    say({"recount": 1, "format": "ndjson", "columns": [{"name": "user_id", "type": "string"}, {"name": "out", "type": out}], "reads": list(reads)})
    key, fold = None, None
    for line in source:
        message = json.loads(line)
        if "begin" in message:
            key = message["key"]
            fold = make(key, greeting, message)
        elif "event" in message:
            fold.step(message["event"])
        elif "show" in message:
            say({"shown": message["show"]})
        elif "end" in message:
            say({"row": {"user_id": key["user_id"], "out": fold.row()}})
            say({"done": message["end"]})


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()
