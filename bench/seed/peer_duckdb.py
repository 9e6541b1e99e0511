"""The same comparison in DuckDB by hand: filter, dedupe, sum, md5, compare."""

import sys

import duckdb

events_file, existing_file, start, end = sys.argv[1:5]
duckdb.execute("SET preserve_insertion_order = false")
print(
    duckdb.execute(
        """
        COPY (
            WITH once AS (
                SELECT any_value(user_id) AS user_id, any_value(value) AS value
                FROM read_parquet($events) WHERE timestamp >= $start::TIMESTAMP AND timestamp < $end::TIMESTAMP
                GROUP BY event_id),
            recalculated AS (
                SELECT user_id, total, md5(concat_ws('|', user_id, total)) AS checksum
                FROM (SELECT user_id, sum(value) AS total FROM once GROUP BY user_id)),
            existing AS (
                SELECT user_id, value, md5(concat_ws('|', user_id, value)) AS checksum
                FROM read_csv($existing, columns = {'user_id': 'VARCHAR', 'value': 'DECIMAL(38,2)'}, header = true))
            SELECT user_id, existing.value AS before, recalculated.total AS after
            FROM existing FULL JOIN recalculated USING (user_id)
            WHERE existing.checksum IS DISTINCT FROM recalculated.checksum AND recalculated.total IS NOT NULL
        ) TO 'corrections_duckdb.csv'
        """,
        {"events": events_file, "existing": existing_file, "start": start, "end": end},
    ).fetchone()[0]
)
