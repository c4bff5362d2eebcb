"""Parts for training and for validation of a data set that came in one piece."""

import hashlib
from collections.abc import Iterable

_RANGE = 2**64


def is_validation(name: str, fraction: float, *, seed: int = 0) -> bool:
    """Tell whether an image belongs to the part that is kept for validation.

    The name alone decides, not its place in a list: images that are added later, or listed in
    another order, leave the parts of all others as they are.

    Args:
        name: of the image, with its folders below the data's root where names repeat.
        fraction: of all images that the part shall have, 0 to 1; met the closer the more there are.
        seed: another one gives other parts.

    Raises:
        ValueError: `fraction` is not in 0..1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"the fraction for validation must be in 0..1, got {fraction}")
    return _place(name, seed) < fraction * _RANGE


def split_names(
    names: Iterable[str], fraction: float, *, seed: int = 0
) -> tuple[list[str], list[str]]:
    """Names for training and names for validation, by `is_validation`, in the order given.

    Of a few images a small fraction may be none, and a large one all: then the image whose hash is
    the smallest (or largest) goes to the part that would be empty.

    Raises:
        ValueError: `fraction` is not between 0 and 1, or there are fewer than two names.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"the fraction for validation must be between 0 and 1, got {fraction}")
    all_names = list(names)
    if len(all_names) < 2:
        raise ValueError(
            f"a fraction for validation must be of at least 2 images, got {len(all_names)}"
        )
    validation = {name for name in all_names if is_validation(name, fraction, seed=seed)}
    by_place = sorted(all_names, key=lambda name: (_place(name, seed), name))
    validation = (validation | {by_place[0]}) - {by_place[-1]}
    return (
        [name for name in all_names if name not in validation],
        [name for name in all_names if name in validation],
    )


def _place(name: str, seed: int) -> int:
    """Of a name in `0.._RANGE - 1`, evenly spread over it."""
    digest = hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")
