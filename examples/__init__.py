"""Short programs that use the platform from Python, each run by the tests."""
