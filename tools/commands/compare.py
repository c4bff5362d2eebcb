"""`swin-dense compare`: variants of a recipe trained at the same seeds, and one page of them."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from swin_dense.ranges import Ranges
from swin_dense.tools.command_line import parse_flags, parse_value
from swin_dense.tools.commands import train
from swin_dense.tools.commands.train import with_fields, with_found_files
from swin_dense.tools.compare.plan import PAGE_FILE, keep_arguments, make_plan
from swin_dense.tools.compare.variants import BACKBONE, Variant, make_variants
from swin_dense.tools.files import hold, make_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import RECIPES, find_recipe
from swin_dense.tools.training.options import Options as TrainOptions

if TYPE_CHECKING:
    from rich.table import Table

_FLAGS = dataclasses.fields(TrainOptions)
_OTHERS = ("resume", "check_only")  # flags of `train` that have no meaning here


@dataclass(frozen=True, kw_only=True)
class Options(TrainOptions):
    """Train variants of a recipe at the same seeds; the flags of `train` hold for all of them.
    The same command again continues what was stopped."""

    ranges: ClassVar[Ranges] = {"seeds": (1, 1000)}

    vary: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]],
        tyro.conf.arg(metavar="FIELD VALUE VALUE ..."),
    ] = ()
    """A field of the recipe, by the name of its flag, and two or more values for it. Given again
    for other fields, every combination is trained. A value of several numbers stands in quotes; of
    a flag without a value the values are true and false."""
    seeds: int = 3
    """Trainings of each variant, with the seeds from --seed on."""
    out: Path | None = None
    """Folder of the comparison; None: runs/compare_RECIPE."""
    resume: Annotated[bool, tyro.conf.Suppress] = False
    check_only: Annotated[bool, tyro.conf.Suppress] = False
    evaluate_every: int | None = None
    """Steps between evaluations, 0: only at the end; None: as in train, but eight times in a
    training that would be evaluated only at the end."""
    words: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()  # the command line, with the recipe


@dataclass(frozen=True)
class Comparison:
    """A comparison whose trainings have all come to their end.

    Attributes:
        folder: of the comparison.
        results: the figures, as `comparison.json` has them.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE_FILE


def choose_default(words: Sequence[str]) -> tuple[Options, list[str]]:
    """Flags' defaults by a recipe's name, and by the first backbone where backbones vary."""
    varied = _varied(_find_groups(words))
    for word in words:
        field = word.partition("=")[0].replace("-", "_")
        if word.startswith("--") and field.removeprefix("__") in varied:
            raise ValueError(f"{word} must not be given besides --vary {word.removeprefix('--')}")
    backbones = varied.get(BACKBONE)
    return _on_backbone(words, backbones[0] if backbones else None)


def describe_choices() -> str:
    """Usage, for a command line that names no recipe."""
    return (
        "usage: swin-dense compare RECIPE --vary FIELD VALUE VALUE ... [--seeds 3] "
        "[--field value ...]\n\nrecipes:\n"
        + "\n".join(f"  {name}" for name in RECIPES)
        + "\n\nswin-dense compare RECIPE --help lists every field with its value in that recipe;\n"
        f"--vary {BACKBONE} swin_t timm:convnext_tiny compares backbones."
    )


@document_flags(Options, without=("recipe", "vary", "words", *_OTHERS))
def compare(
    recipe: str | Recipe,
    vary: Mapping[str, Sequence[Any]],
    fields: Mapping[str, Any] | None = None,
    *,
    seeds: int = 3,
    **flags: Any,
) -> Comparison:
    """Train variants of a recipe at the same seeds.

    Each training has a process of its own, so that a script that calls this must do so below
    `if __name__ == "__main__":`. The same call again continues what was stopped.

    Args:
        recipe: its name (`swin-dense recipes` lists them), or a recipe.
        vary: two or more values by the name of a field, `{"model.backbone.activation": ["gelu",
            "relu"]}`; of several fields every combination is trained. Values of "model.backbone"
            are names or configs.
        fields: what to change in the recipe besides, as in `train`.
        seeds: trainings of each variant, with the seeds from the recipe's on.
        flags: of `swin-dense compare`, with underscores; its `--help` explains each.

    Returns:
        The comparison: its folder, the page and the figures.

    Raises:
        ValueError: as `train`, before anything is trained; the folder is that of another
            comparison; or runs have failed.
        FileNotFoundError: the data or the weights are missing.
        KeyboardInterrupt: a training was stopped.
    """
    named = find_recipe(recipe) if isinstance(recipe, str) else recipe
    changes = dict(fields or {})
    twice = [name for name in vary if name in changes]
    if twice:
        raise ValueError(f"vary must have other fields than fields, got {twice[0]} in both")
    for name in _OTHERS:
        if name in flags:
            raise ValueError(f"compare must be without {name}; it continues what it finds")
    make_options(Options, {"recipe": named, "seeds": seeds})  # looks at the number

    def on_backbone(backbone: Any) -> TrainOptions:
        given = changes if backbone is None else {BACKBONE: backbone, **changes}
        return make_options(TrainOptions, {"recipe": with_fields(named, given), **flags})

    comparison, _, failures = _compare(make_variants(vary, on_backbone), num_seeds=seeds)
    if failures:
        raise ValueError(failures)
    return comparison


def run(options: Options) -> None:
    """Train the variants, write the page and print the table; raises as `compare`."""
    program = f"swin-dense compare {options.recipe.name}"
    varied = _varied(options.vary)

    def on_backbone(backbone: str | None) -> TrainOptions:
        default, rest = _on_backbone(options.words, backbone)
        parsed = parse_flags(Options, program, rest, default)
        return TrainOptions(**{field.name: getattr(parsed, field.name) for field in _FLAGS})

    variants = make_variants(varied, on_backbone, read=parse_value)
    comparison, table, failures = _compare(variants, num_seeds=options.seeds)

    from swin_dense.tools.console import Console

    Console().print(table)
    write_line(f"see {comparison.page}")
    if failures:
        raise ValueError(failures)


def _on_backbone(words: Sequence[str], backbone: str | None) -> tuple[Options, list[str]]:
    """Options with the defaults of a recipe on a backbone, and the words that are left."""
    recipe, *rest = words
    named = [] if backbone is None else [f"--{BACKBONE}", backbone]
    default, left = train.choose_default([recipe, *named, *rest])
    values = {field.name: getattr(default, field.name) for field in _FLAGS}
    return Options(**values, words=tuple(words)), left


def _varied(groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Values by the name of the field; a flag's name may have its hyphens."""
    varied: dict[str, tuple[str, ...]] = {}
    for name, *values in filter(None, groups):
        field = name.removeprefix("--").replace("-", "_")
        if field in varied:
            raise ValueError(f"--vary must name a field once, got {field} twice")
        varied[field] = tuple(values)
    return varied


def _find_groups(words: Sequence[str]) -> list[list[str]]:
    """The words behind each `--vary`, up to the next flag."""
    groups: list[list[str]] = []
    is_open = False
    for word in words:
        if word.startswith("--"):
            is_open = word == "--vary"
            groups += [[]] * is_open
        elif is_open:
            groups[-1] = [*groups[-1], word]
    return groups


def _compare(
    variants: Sequence[Variant], *, num_seeds: int
) -> "tuple[Comparison, Table, str | None]":
    """Train, and write page and figures; gives them, a table, and which runs have failed."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "compare must be started as one process, got a launcher's WORLD_SIZE of "
            f"{os.environ['WORLD_SIZE']}"
        )
    found = [replace(variant, options=with_found_files(variant.options)) for variant in variants]
    plan = make_plan(found, num_seeds=num_seeds)

    from swin_dense.tools.compare.page import as_table, write_comparison
    from swin_dense.tools.compare.processes import train_apart
    from swin_dense.tools.compare.results import Results, as_data, read_results, write_results
    from swin_dense.tools.compare.running import check_models, run_all

    def renew() -> Results:
        results = read_results(plan)
        write_results(results)
        write_comparison(results)
        return results

    check_models(plan)
    with hold(make_writable(plan.out)):
        keep_arguments(plan)
        failures = run_all(plan, train=train_apart, renew=renew)
        results = renew()
    text = f"{len(failures)} of {len(plan.runs)} runs failed: {'; '.join(failures)}"
    comparison = Comparison(plan.out, as_data(results))
    return comparison, as_table(results), text if failures else None
