"""Text from files and flags, made fit to be shown: the one function that all exits share.

Keys, class and file names, metadata and the errors about them can hold anything: escape sequences
that a terminal obeys, marks that turn the order of letters around, halves of characters that no
encoding has. The exits are the line of an error, the console (`console.py`), the HTML page,
TensorBoard, and the captions of pictures.
"""

import sys
import unicodedata
from typing import TextIO

# Controls, invisible marks (those for the order of letters among them), lone surrogates, and
# separators of lines and paragraphs.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # Persian and Indic words, and emoji, are spelled with them


def printable(text: str) -> str:
    r"""The text in one line, with what must not be shown raw escaped as Python does: `\x1b`.

    A second time changes nothing: backslashes stay.
    """
    if text.isprintable():
        return text
    return "".join(_escape(letter) if _is_hostile(letter) else letter for letter in text)


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Print one line, `printable`; None is stderr."""
    print(printable(text), file=sys.stderr if stream is None else stream)


def _is_hostile(letter: str) -> bool:
    return unicodedata.category(letter) in _ESCAPED and letter not in _JOINERS


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
