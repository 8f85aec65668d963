"""The subcommands of `vlm`, one a file. Each has `add_options(parser)` and `run(options)`."""
