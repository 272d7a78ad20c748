"""The subcommands of python -m ml, one module each: add_arguments(parser), run(options) -> exit code."""
