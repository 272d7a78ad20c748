"""The command line: python -m ml COMMAND."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from pathlib import Path

from ml import __version__, cli

# What `pip install callus` leaves out: the packages of the extra `train` in pyproject.toml.
TRAINING_PACKAGES = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Command line without the program's name; sys.argv[1:] by default.

    Returns:
        The exit code of the process.
    """
    # Hides TensorFlow's log messages from commands that import it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        prog=_program_name(),
        description="Detect bone fractures on X-rays and name their kind; train, evaluate and compare the models.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    # Each public module in ml/cli is a command. Its `run` imports what takes long to load.
    modules = (info.name for info in pkgutil.iter_modules(cli.__path__))
    for module in sorted(name for name in modules if not name.startswith("_")):
        command = importlib.import_module(f"ml.cli.{module}")
        summary = (command.__doc__ or "").strip().splitlines()[0]
        subparser = subparsers.add_parser(module.replace("_", "-"), help=summary, description=command.__doc__)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        message = f"This command needs {package}, which is not installed: pip install 'callus[train]'."
        print(message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 141


def _program_name() -> str:
    """Returns the program as the user called it: the installed callus-ml, or python -m ml."""
    return "callus-ml" if Path(sys.argv[0]).stem == "callus-ml" else "python -m ml"


if __name__ == "__main__":
    sys.exit(main())
