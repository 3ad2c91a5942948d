"""The archive: spans of the log as Parquet files, which are read in place of Kafka."""
