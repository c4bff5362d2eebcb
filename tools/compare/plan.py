"""Plan of a comparison: its trainings and their folders, and what makes it another comparison."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from swin_dense.tools.compare.variants import Variant
from swin_dense.tools.files import write_json
from swin_dense.tools.runs.names import RECIPE_FILE
from swin_dense.tools.training.options import Options

ARGUMENTS_FILE = "arguments.json"
PAGE_FILE = "comparison.html"
RESULTS_FILE = "comparison.json"
TABLE_FILE = "comparison.csv"
_NUM_EVALUATIONS = 8  # in a training that would evaluate at its end alone
_LONGEST_NAME = 60  # letters of a run's folder before its seed

# Flags that change no result; they may be others when a comparison is continued.
_FREE = {
    *("recipe", "out", "resume", "check_only", "workers", "max_megapixels"),
    *("save_every", "save_minutes", "keep", "track"),
}


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One training of a comparison.

    Attributes:
        variant: what it trains.
        seed: of weights, order and augmentation.
        options: the same as the flags of `train`.
    """

    variant: Variant
    seed: int
    options: Options

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.options.run

    @property
    def title(self) -> str:
        """Name of the variant, and the seed."""
        return f"{self.variant.name}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every training of a comparison.

    Attributes:
        out: folder of the comparison, in which the runs have theirs.
        variants: what is compared.
        seeds: that each variant is trained with.
        runs: by seed, then by variant: what slows the machine down for a while meets them all.
    """

    out: Path
    variants: tuple[Variant, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return self.variants[0].options.recipe.name

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that vary."""
        return tuple(self.variants[0].values)

    def runs_of(self, variant: Variant) -> tuple[PlannedRun, ...]:
        """The runs of a variant, by seed."""
        return tuple(run for run in self.runs if run.variant == variant)


def make_plan(variants: Sequence[Variant], *, num_seeds: int) -> Plan:
    """Plan the training of each variant with as many seeds, from the recipe's on.

    Where a recipe would be evaluated at its end alone, it is evaluated eight times, for a curve.

    Args:
        variants: different ones, whose `out` is the folder of the comparison; None:
            runs/compare_RECIPE.
        num_seeds: trainings of each.
    """
    out, first = variants[0].options.out, variants[0].options.recipe
    folder = Path("runs") / f"compare_{first.name}" if out is None else out
    seeds = tuple(range(first.seed, first.seed + num_seeds))
    names = _folder_names(variants)
    runs = tuple(
        PlannedRun(
            variant=variant,
            seed=seed,
            options=replace(
                _with_evaluations(variant.options),
                recipe=replace(variant.options.recipe, seed=seed),
                out=folder / f"{name}_seed_{seed}",
            ),
        )
        for seed in seeds
        for variant, name in zip(variants, names, strict=True)
    )
    return Plan(out=folder, variants=tuple(variants), seeds=seeds, runs=runs)


def _with_evaluations(options: Options) -> Options:
    recipe = options.recipe
    if recipe.steps is None or (options.evaluate_every, recipe.evaluate_every) != (None, None):
        return options
    return replace(options, evaluate_every=-(-recipe.steps // _NUM_EVALUATIONS))


def _folder_names(variants: Sequence[Variant]) -> list[str]:
    """A name for the folders of each variant: letters, digits and `._+-`."""
    names: list[str] = []
    for variant in variants:
        plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", variant.name).strip("_.")[:_LONGEST_NAME]
        name, number = plain or "variant", 1
        while name.lower() in (other.lower() for other in names):
            number += 1
            name = f"{plain or 'variant'}_{number}"
        names.append(name)
    return names


def keep_arguments(plan: Plan) -> None:
    """Write the arguments into the folder of a new comparison, or compare them with those there.

    Raises:
        ValueError: the folder is that of another comparison, or has other things under the names of
            a comparison's.
    """
    path = plan.out / ARGUMENTS_FILE
    now = _describe(plan)
    if not path.exists():
        others = [
            name
            for name in (PAGE_FILE, RESULTS_FILE, TABLE_FILE, RECIPE_FILE)
            if (plan.out / name).exists()
        ]
        if others:
            raise ValueError(
                f"--out must be a folder for this comparison alone, got {plan.out}, which has "
                f"{', '.join(others)}"
            )
        write_json(path, now)
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} cannot be read: {error}; choose another --out") from error

    from swin_dense.tools.training.run_state import list_differences

    if not any(plan.out.glob(f"*/{RECIPE_FILE}")):  # nothing came of the arguments there
        write_json(path, now)
        return
    for part, value in now.items():
        changed = list_differences(before.get(part), value, part)
        if changed:
            raise ValueError(
                f"a comparison must be continued with the arguments of before, got another "
                f"{changed[0]}, in {plan.out}; choose another --out"
            )


def _describe(plan: Plan) -> dict[str, Any]:
    """Everything that the results depend on, as plain JSON values, the shortest first."""
    from swin_dense.tools.training.run_state import recipe_as_json

    first = plan.runs[0].options
    flags = {
        field.name: getattr(first, field.name)
        for field in fields(Options)
        if field.name not in _FREE
    }
    described = {
        "recipe": plan.recipe,
        "vary": {
            name: list(dict.fromkeys(variant.values[name] for variant in plan.variants))
            for name in plan.fields
        },
        "seeds": list(plan.seeds),
        "flags": flags,
        "recipes": {
            variant.name: recipe_as_json(variant.options.recipe) for variant in plan.variants
        },
    }
    return json.loads(json.dumps(described, default=str))
