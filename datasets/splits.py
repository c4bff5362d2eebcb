"""Parts for training and for validation of a data set that came in one piece."""

import hashlib

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
    text = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(text).digest()
    return int.from_bytes(digest[:8], "big") < fraction * _RANGE
