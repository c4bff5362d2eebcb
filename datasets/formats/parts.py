"""Parts of a split: images that are kept for validation, and the others."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swin_dense.datasets.splits import split_names

_MAX_NAMED = 5
_AUGMENTED = re.compile(r"\.rf\.[0-9a-zA-Z]{16,}(?=\.\w+$)")  # Roboflow's copies of one image


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a split: the images kept for validation, or all others.

    Attributes:
        is_for_validation: which of the two.
        fraction: of the images to keep, by a hash of their names (`splits.is_validation`); at least
            one image is kept and one left. Copies that Roboflow made of one image stay together.
        list_file: names of the images to keep instead, one a line.
    """

    is_for_validation: bool
    fraction: float | None = None
    list_file: Path | None = None

    def places(self, names: Sequence[str], where: Path) -> list[int]:
        """Places of the images of the part among those of the split.

        Args:
            names: of the split's images.
            where: the file that lists them, for messages.

        Raises:
            FileNotFoundError: there is no such list.
            ValueError: the fraction leaves a part empty, or the list names images that are not
                there, or none or all.
        """
        kept = self._listed(names, where) if self.list_file else self._drawn(names, where)
        return [
            place for place, name in enumerate(names) if (name in kept) is self.is_for_validation
        ]

    def _drawn(self, names: Sequence[str], where: Path) -> set[str]:
        sources = {name: _AUGMENTED.sub("", name) for name in names}
        try:
            _, drawn = split_names(list(dict.fromkeys(sources.values())), self.fraction or 0.0)
        except ValueError as error:
            raise ValueError(f"{error}, in {where}") from error
        kept = set(drawn)
        return {name for name, source in sources.items() if source in kept}

    def _listed(self, names: Sequence[str], where: Path) -> set[str]:
        assert self.list_file is not None
        if not self.list_file.is_file():
            raise FileNotFoundError(f"no list of images {self.list_file}")
        lines = self.list_file.read_text(encoding="utf-8-sig").splitlines()
        asked = [line.strip() for line in lines if line.strip()]
        short = Counter(Path(name).name for name in names)
        by_short = {Path(name).name: name for name in names if short[Path(name).name] == 1}
        by_name = by_short | {name: name for name in names}
        unknown = [name for name in asked if name not in by_name]
        if unknown:
            named = ", ".join(unknown[:_MAX_NAMED])
            more = ", ..." if len(unknown) > _MAX_NAMED else ""
            raise ValueError(
                f"{self.list_file} must name images of {where}, got {len(unknown)} that are not in "
                f"it: {named}{more}"
            )
        kept = {by_name[name] for name in asked}
        if not 0 < len(kept) < len(names):
            raise ValueError(
                f"{self.list_file} must name some of the {len(names)} images of {where}, got "
                f"{len(kept)}"
            )
        return kept


def describe_part(part: Part | None) -> str:
    """Words for a part behind the name of its split; empty for the whole."""
    if part is None:
        return ""
    share = f"those of {part.list_file}" if part.list_file else f"{part.fraction:.0%} by name"
    return f" (kept for validation: {share})" if part.is_for_validation else f" (without {share})"
