"""Prints every row of an archived stream as one line of JSON, in the order of
seq, read by another program's own Parquet reader: rows.py pandas|spark FOLDER."""

import datetime
import json
import struct
import sys

TIMES = {"time", "ingest_time", "at"}


def text(value):
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    if isinstance(value, datetime.date):
        return "%04d-%02d-%02d" % (value.year, value.month, value.day)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return value
    digits = format(value, "f")  # a decimal, whose scale readers spell differently
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def headers(value):
    if value is None:
        return None
    return [[h["name"], text(h["value"])] for h in value]


def show(rows):
    for row in rows:
        out = {k: headers(v) if k == "headers" else text(v) for k, v in row.items()}
        print(json.dumps(out))


def folder_value(name, value):
    """pandas reads an hour's folder as a number, where it is two digits."""
    if name != "hour" or value is None:
        return value
    return "%02d" % int(value)


def by_pandas(folder):
    import pandas
    import pyarrow

    frame = pandas.read_parquet(folder, engine="pyarrow", dtype_backend="pyarrow")
    for name in ("date", "hour"):  # the folders' values are categories
        frame[name] = [None if v is pandas.NA else v for v in frame[name]]
    frame = frame.sort_values("seq")
    for name in TIMES:  # as numbers: Python's own datetime ends where the archive does not
        frame[name] = frame[name].astype(pandas.ArrowDtype(pyarrow.int64()))
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    show({k: folder_value(k, v) for k, v in row.items()} for row in table.to_pylist())


def by_spark(folder):
    from pyspark.sql import SparkSession, functions

    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.parquet(folder)
    for name in TIMES:
        frame = frame.withColumn(name, functions.unix_micros(name))
    frame = frame.withColumn("day", functions.col("day").cast("string"))
    show(row.asDict(recursive=True) for row in frame.orderBy("seq").toLocalIterator())
    spark.stop()


{"pandas": by_pandas, "spark": by_spark}[sys.argv[1]](sys.argv[2])
