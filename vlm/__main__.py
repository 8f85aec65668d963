"""The command line: `vlm run`, `vlm inspect`, `vlm convert`, `vlm eval`; also as `python -m vlm`.

Exit codes: 0 all went well, 1 an error, which is said in one line, 2 the options make no sense, 130 interrupted.
"""

import argparse
import os
import sys
from importlib.metadata import version

from vlm.commands import convert, evaluate, inspect, run

COMMANDS = {"run": run, "inspect": inspect, "convert": convert, "eval": evaluate}


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="vlm", description="PaliGemma from scratch: ask it about pictures, and look after its checkpoints."
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
    try:
        code = COMMANDS[options.command].run(options)
        sys.stdout.flush()  # here, where it is known what to do if nobody reads it
        return code
    except BrokenPipeError:  # whoever read the output has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        print(f"vlm {options.command}: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nvlm {options.command}: interrupted", file=sys.stderr)
        return 130


def program():
    """`main` as a process. After Ctrl-C it does not wait for threads that still download: what they write is aside."""
    code = main()
    if code == 130:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    program()
