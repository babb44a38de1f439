"""The table: a file a subject, each with a list `CASES`."""
