"""The subcommands of `vlm`, one file each. Each has `add_options(parser)` and `run(options)`."""
