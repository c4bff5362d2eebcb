"""Detection recipes with and without masks: the one that fits the data."""

from collections.abc import Mapping

from swin_dense.heads.detection.config import TwoStageDetectorConfig, mask_config
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES

# Beginnings of the names of recipes: with masks, and the same without.
_PAIRS = (("cascade_mask_rcnn", "cascade_rcnn"), ("mask_rcnn", "faster_rcnn"))


def check_masks(recipe: Recipe, counts: Mapping[str, int]) -> str:
    """Refuse a recipe that is to learn masks and has none to learn from.

    Args:
        recipe: of any task.
        counts: of what its training data is annotated with: "boxes" and "masks".

    Returns:
        A remark where a recipe would leave out masks that another learns; else nothing.

    Raises:
        ValueError: the model has a mask head, and the data no mask, or the recipe reads none.
    """
    boxes, masks = counts.get("boxes", 0), counts.get("masks", 0)
    if mask_config(recipe.model) is not None or _learns_instances(recipe):
        if not masks:
            raise ValueError(
                f"{recipe.name} must have masks to learn from, got {boxes} boxes and no mask in "
                f"{recipe.data.train_split} of {recipe.data.root}; use "
                f"{find_counterpart(recipe.name, has_masks=False)}, which learns boxes alone"
            )
        if not getattr(recipe.data, "with_masks", True):
            raise ValueError(
                f"{recipe.name} must have a model without masks, as it reads boxes alone, got one "
                f"with a mask head; use {find_counterpart(recipe.name, has_masks=True)}"
            )
    elif masks and isinstance(recipe.model, TwoStageDetectorConfig):
        return (
            f"{masks} of {boxes} objects have masks, which {recipe.name} does not learn; "
            f"{find_counterpart(recipe.name, has_masks=True)} does"
        )
    return ""


def _learns_instances(recipe: Recipe) -> bool:
    return isinstance(recipe.model, Mask2FormerConfig) and recipe.task == "detection"


def find_counterpart(name: str, *, has_masks: bool) -> str:
    """Name of the recipe that is as the one named but for masks.

    Where there is none of that name, it is one for small sets.
    """
    for pair in _PAIRS:
        before, after = reversed(pair) if has_masks else pair
        if name.startswith(before):
            for other in (after + name.removeprefix(before), f"{after}_swin_t_finetune"):
                if other in RECIPES:
                    return other
    return f"{'mask' if has_masks else 'faster'}_rcnn_swin_t_finetune"
