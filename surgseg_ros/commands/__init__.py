"""Subcommands of `surgseg`; each file has add_arguments(parser) and run(args) -> exit code."""
