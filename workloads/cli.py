"""The `rosa` command: each verb loads a config, runs one workload and answers with an exit code.

`rosa --help` lists the verbs in the order in which the modules below name them.
"""

import sys

from workloads import commands_of_a_run, commands_of_the_live_system, commands_of_tools
from workloads.command_line import app

__all__ = ["app", "commands_of_a_run", "commands_of_the_live_system", "commands_of_tools", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; the entry point of `rosa`."""
    app(arguments if arguments is not None else sys.argv[1:], prog_name="rosa")
