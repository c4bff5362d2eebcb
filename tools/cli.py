"""The command `swin-dense`, also `python -m swin_dense.tools.cli`.

A command is a file of `commands/`, named as it is (with an underscore behind it where Python has a
module of that name). It holds a frozen dataclass `Options`, from which tyro makes the flags, or a
function `options_type()` that gives one; a function `run(options)`; and the function of the
command's name, for Python. Its purpose is the first line of its docstring. It is imported when it
is called. Exit status: 0 done, 2 an expected error (one line on stderr), 1 a bug (a traceback).
"""

import ast
import importlib
import io
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swin_dense import __version__
from swin_dense.tools import COMMANDS
from swin_dense.tools.files import refuse_url
from swin_dense.tools.printable import write_line

_LONGEST_ERROR = 4000  # letters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        arguments: without the program's name; None takes them from `sys.argv`.

    Returns:
        The exit status, 0 or 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"swin-dense {__version__}")
        return 0
    try:
        if words[0] not in COMMANDS:
            raise ValueError(f"unknown command {words[0]!r}; choose one of {', '.join(COMMANDS)}")
        for word in words[1:]:
            refuse_url(re.sub("^--[^=]*=", "", word))
        status = _run(words[0], words[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Who read the output has enough of it; Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # rich has dealt with it already
            return 0
        raise
    except (ValueError, OSError) as error:
        write_line(f"error: {_in_one_line(_in_words(error))}")
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 2
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        reason = _in_one_line(str(error))[:200] or "Python gives no size"
        write_line(f"error: more memory was asked for than there is: {reason}")
        return 2


def _run(command: str, words: list[str]) -> int:
    module = importlib.import_module(f"swin_dense.tools.commands.{COMMANDS[command].stem}")
    program = f"swin-dense {command}"
    has_parts = hasattr(module, "options_type")  # some of its flags are of the tasks
    options_type: Any = module.options_type() if has_parts else module.Options
    default: Any = None
    if hasattr(module, "choose_default"):
        # The first word, a recipe's name, chooses the default of every flag.
        if not words or words[0] in ("-h", "--help"):
            print(module.describe_choices())
            return 0 if words else 2
        program = f"{program} {words[0]}"
        default, words = module.choose_default(words)

    from swin_dense.tools.command_line import parse_flags

    module.run(parse_flags(options_type, program, words, default))
    return 0


def _in_words(error: ValueError | OSError) -> str:
    """The message; of an error of the system, the file and its fault."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}"
    return str(error)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell by the error of Python, or by the words of torch's and OpenCV's, which have no class."""
    words = ("out of memory", "not enough memory", "can't allocate memory", "Insufficient memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _in_one_line(text: str) -> str:
    """The message; of an error in a worker process that reads images, without its traceback."""
    worker = re.match(r"Caught (\w+) in DataLoader worker process", text)
    if worker:
        text = text.rpartition(f"\n{worker[1]}: ")[2]
    line = "; ".join(line.strip() for line in text.splitlines() if line.strip())
    if len(line) > _LONGEST_ERROR:
        half = _LONGEST_ERROR // 2
        line = f"{line[:half]} [{len(line) - 2 * half} letters left out] {line[-half:]}"
    return line


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {_read_purpose(file)}" for name, file in COMMANDS.items()]
    return "\n".join(
        [
            "usage: swin-dense COMMAND [--flag value ...]",
            "       swin-dense --version",
            "",
            "Swin Transformer detection and segmentation on today's PyTorch.",
            "",
            "commands:",
            *lines,
            "",
            "swin-dense COMMAND --help lists the flags of a command.",
        ]
    )


def _read_purpose(file: Path) -> str:
    """Behind the colon in the first line of a command's docstring; nothing is imported for it."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].partition(": ")[2].removesuffix(".")


if __name__ == "__main__":
    sys.exit(main())
