"""The subcommands of `surgseg`, one file each: add_arguments(parser) and run(args)."""
