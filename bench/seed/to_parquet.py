"""Writes the events as Parquet for the peers that read it."""

import sys

import duckdb

duckdb.execute(
    """
    COPY (SELECT * FROM read_csv($csv, columns = {'event_id': 'VARCHAR', 'timestamp': 'TIMESTAMP',
          'user_id': 'VARCHAR', 'value': 'DECIMAL(18,2)'}, header = true))
    TO 'events.parquet' (FORMAT parquet, COMPRESSION zstd)
    """,
    {"csv": sys.argv[1]},
)
