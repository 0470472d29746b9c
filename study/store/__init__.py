"""The result store: Parquet files, checkpoints and leases under one folder or bucket."""
