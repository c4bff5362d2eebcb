"""ImageNet-22K's classes in Microsoft's order, and those of ImageNet-1K among them.

ImageNet-21k lists 21843 WordNet ids. Two of them have no images in the release that the published
models were trained on; in their places stand the last two of the list, which is then as long as
their heads: 21841. The ids come from timm.
"""

from collections.abc import Sequence
from functools import lru_cache

# Places of ids without images: n03931044 (picture) and n09859684 (bleacher).
_WITHOUT_IMAGES = (9205, 15027)
# The teddy bear (n04399382) is no class of its own in ImageNet-22K; the published map has the teddy
# that is worn (n03013580) in its place.
_STAND_IN = {"n04399382": "n03013580"}


@lru_cache(maxsize=1)
def imagenet1k_rows() -> tuple[int, ...]:
    """Row of an ImageNet-22K head for each of ImageNet-1K's 1000 classes.

    Microsoft's `data/map22kto1k.txt`, made from the ids.

    Raises:
        ValueError: timm, which has the lists of ids, is not installed.
    """
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise ValueError(
            "the rows of ImageNet-1K's classes in a head of ImageNet-22K's must have timm's lists "
            "of classes, got no timm; pip install timm, or start the head anew (--new-classes)"
        ) from error
    places = {
        name: row for row, name in enumerate(_order(ImageNetInfo("imagenet-21k").label_names()))
    }
    names = ImageNetInfo("imagenet-1k").label_names()
    return tuple(places[_STAND_IN.get(name, name)] for name in names)


def _order(names: Sequence[str]) -> list[str]:
    """The ids in the order of the published heads."""
    kept = list(names[: -len(_WITHOUT_IMAGES)])
    for place, name in zip(_WITHOUT_IMAGES, names[-len(_WITHOUT_IMAGES) :], strict=True):
        kept[place] = name
    return kept
