"""The command line: `vlm run`, `vlm inspect`, `vlm convert`; also `python -m vlm`."""

import argparse
from importlib.metadata import version

from vlm.commands import convert, inspect, run
from vlm.commands.program import finish, run_as_program

COMMANDS = {"run": run, "inspect": inspect, "convert": convert}


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vlm", description="PaliGemma from scratch: ask it about images, inspect and convert checkpoints."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('paligemma-from-scratch')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(subparser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_options(arguments)
    return finish(f"vlm {options.command}", lambda: COMMANDS[options.command].run(options))


def program():
    run_as_program("vlm", main)


if __name__ == "__main__":
    program()
