"""The commands as functions: `train`, `evaluate`, `predict`, `report`, `inspect`, `convert`, ...

Each command of `swin-dense` is a function of its name here, with its flags as keywords. It is
imported when it is first asked for: `import swin_dense.tools` alone costs nothing. Besides them
`load_exported` gives the model of a file that `export` wrote.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

COMMANDS: dict[str, Path] = {
    file.stem.rstrip("_"): file
    for file in sorted((Path(__file__).parent / "commands").glob("*.py"))
    if file.stem != "__init__"
}


# Functions that are no commands, by the module that has them.
_OTHERS = {"load_exported": "export.exported_models"}


def __getattr__(name: str) -> Any:
    """Import a command's function, or `load_exported`, at its first use (PEP 562)."""
    if name in _OTHERS:
        return getattr(importlib.import_module(f"swin_dense.tools.{_OTHERS[name]}"), name)
    if name not in COMMANDS:
        raise AttributeError(f"module 'swin_dense.tools' has no attribute {name!r}")
    return _find_function(name)


def __dir__() -> list[str]:
    return sorted([*globals(), *COMMANDS, *_OTHERS])


def _find_function(name: str) -> Any:
    module = importlib.import_module(f"swin_dense.tools.commands.{COMMANDS[name].stem}")
    return getattr(module, name)


class _CallableRoom(ModuleType):
    """A room that has a command's name (`report`, `recipes`): called, it is the command."""

    def __call__(self, *arguments: Any, **flags: Any) -> Any:
        return _find_function(self.__name__.rpartition(".")[2])(*arguments, **flags)


class _Tools(ModuleType):
    """This module: it makes such a room callable when the import system puts it here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in COMMANDS and isinstance(value, ModuleType):
            value.__class__ = _CallableRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Tools
