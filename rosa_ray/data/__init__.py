"""Ray Data: logs become checked, user-major Parquet."""
