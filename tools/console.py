"""The console: rich's, with names from files shown as they are and nothing in them obeyed."""

from typing import Any

import rich.console
from rich.text import Text

from swin_dense.tools.printable import printable


class Console(rich.console.Console):
    """rich's console without its markup and emoji codes; strings are `printable` line by line.

    Args:
        stderr: write to stderr, else to stdout.
        quiet: show nothing.
        width: columns; None: the terminal's.
    """

    def __init__(
        self, *, stderr: bool = False, quiet: bool = False, width: int | None = None
    ) -> None:
        super().__init__(stderr=stderr, quiet=quiet, width=width, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string comes through here, those in the cells of tables too."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)
