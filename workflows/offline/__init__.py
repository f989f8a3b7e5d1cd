"""
Deciding a book that lies in Parquet files: a rehearsal on DuckDB, or on Spark where the book outgrows a machine.

`export` writes the files from a database, `on_duckdb` and `on_spark` decide them, and everything that is not a matter of
who runs the statement (`deciding`) is the same for both.
"""
