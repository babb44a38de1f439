"""`python -m workloads VERB CONFIG [--set ...]`: the `rosa` command as a Ray job runs it."""

from workloads.cli import main

if __name__ == "__main__":
    main()
