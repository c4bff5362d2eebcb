"""Named experiments: model, data, optimiser and schedule under one name.

The numbers of the published recipes are those of the released configurations, which made the
published weights; where the paper has others, the recipe's note has them.
"""

from swin_dense.tools.recipes.classification import CLASSIFICATION_RECIPES
from swin_dense.tools.recipes.detection import DETECTION_RECIPES
from swin_dense.tools.recipes.mask2former import MASK2FORMER_RECIPES
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.segmentation import SEGMENTATION_RECIPES

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *DETECTION_RECIPES,
        *SEGMENTATION_RECIPES,
        *MASK2FORMER_RECIPES,
        *CLASSIFICATION_RECIPES,
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none; lists those there are.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def unchanged(recipe: Recipe) -> Recipe:
    """The recipe of that name as it is in the table; one that is not there as it is given."""
    return RECIPES.get(recipe.name, recipe)
