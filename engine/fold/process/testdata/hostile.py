"""A worker without any library, and the ways in which it can go wrong."""

import json
import os
import signal
import sys
import time

mode = sys.argv[1]
columns = [{"name": "user_id", "type": "string"}, {"name": "total", "type": "int64"}]


def say(x):
    sys.stdout.write(x if isinstance(x, str) else json.dumps(x) + "\n")
    sys.stdout.flush()


def forever():
    while True:
        time.sleep(1000)


sys.stderr.write("first words\n\x1b[31mlast \x07words\n")
sys.stderr.flush()
if mode == "never reads":
    forever()
hello = json.loads(sys.stdin.readline())
reply = {"recount": 1, "format": "ndjson", "columns": columns, "reads": ["value"]}
if mode == "silent":
    forever()
if mode == "stray first":
    say("starting up\n")
if mode == "endless first":
    while True:
        sys.stdout.write("x" * 65536)
if mode == "version":
    reply["recount"] = 2
if mode == "format":
    reply["format"] = "xml"
if mode == "no columns":
    del reply["columns"]
if mode == "type":
    columns[1]["type"] = "money"
if mode == "twice":
    columns.append(columns[0])
if mode == "reserved":
    columns[1]["name"] = "recount_state"
if mode == "reads":
    reply["reads"] = ["velue"]
if mode == "failed":
    reply = {"recount": 1, "failed": "no licence"}
if mode == "exits first":
    sys.exit(3)
say(reply)
n = total = 0
key = None
for line in sys.stdin:
    m = json.loads(line)
    if "begin" in m:
        key, total = m["key"]["user_id"], 0
    elif "event" in m:
        value = m["event"]["value"]
        n += 1
        if mode == "hangs":
            forever()
        if mode == "exit 0":
            os._exit(0)
        if mode == "exit 7":
            sys.exit("what a day")
        if mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "closes":
            os.close(1)
            forever()
        if mode == "stray":
            say("value is %s\n" % value)
        if mode == "binary":
            os.write(1, b"\xff\xfe\x00\n")
        if mode == "leaks":
            rest = []
            while True:
                rest.append(bytearray(1 << 20))
        if mode == "dies at 13" and value == 13:
            os._exit(5)
        if mode == "hangs at 13" and value == 13:
            forever()
        if mode == "says 13" and value == 13:
            say({"failed": 1, "seq": m["seq"], "why": "it is thirteen"})
            sys.exit(1)
        if mode == "once" and not os.path.exists("/tmp/once") and n == 2:
            os._exit(5)
        total += value
    elif "show" in m or "end" in m:
        group = m.get("show", m.get("end"))
        row = {"user_id": key, "total": total}
        if mode == "column":
            row["totl"] = 1
        if mode == "lacks":
            del row["total"]
        if mode == "text":
            row["total"] = "four"
        if mode == "float":
            row["total"] = 1.5
        if mode == "bool":
            row["user_id"] = True
        if mode == "list":
            row["user_id"] = [key]
        if mode == "number":
            row["user_id"] = 5
        if mode == "null key":
            row["user_id"] = None
        if mode == "no object":
            row = [1]
        if mode == "doubled":
            say('{"row":{"user_id":"a","total":1,"total":2}}\n')
        if mode == "long":
            say('{"row":{"user_id":"')
            for _ in range(400):
                say("x" * 65536)
        if mode == "huge":
            while True:
                say(('{"row":{"user_id":"' + "x" * 65536 + '","total":1}}\n') * 16)
        say({"row": row})
        if mode == "same key":
            say({"row": row})
        if mode == "effect":
            say({"effect": {"kind": "", "key": 5}})
        if mode == "effect seq":
            say({"effect": {"kind": "mail", "key": "a"}, "seq": 99})
        if mode == "other group":
            group += 100
        if mode == "unknown word":
            say({"rows": []})
        word = "shown" if "show" in m else "done"
        if mode == "other word":
            word = "shown" if word == "done" else "done"
        say({word: group})
        if mode == "answers twice":
            say({word: group})
        if mode == "half":
            sys.stdout.write('{"ro')
            sys.stdout.flush()
            os._exit(0)
