"""Comparisons for the tests: tiny classifiers, and folders of runs with made-up figures."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from run_writer import segmentation_evaluation, write_run
from training_runs import BACKBONE, small_options

from swin_dense.heads import ClassifierConfig, create_model, save_model
from swin_dense.tools.commands.train import with_fields
from swin_dense.tools.compare.page import write_comparison
from swin_dense.tools.compare.plan import Plan, make_plan
from swin_dense.tools.compare.results import read_results
from swin_dense.tools.compare.variants import make_variants
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.training.options import Options

VARIED: Mapping[str, Sequence[Any]] = {"model.backbone.activation": ["gelu", "relu"]}


def tiny_classifier(root: Path, *, steps: int) -> Recipe:
    """The demo's recipe for a few thousand weights and images of 32 px."""
    recipe = find_recipe("classifier_demo")
    return replace(
        recipe,
        model=replace(recipe.model, backbone=BACKBONE),
        data=replace(recipe.data, root=root),
        batch_size=4,
        steps=steps,
    )


def tiny_plan(
    root: Path,
    out: Path,
    *,
    steps: int = 4,
    varied: Mapping[str, Sequence[Any]] = VARIED,
    num_seeds: int = 2,
    **flags: Any,
) -> Plan:
    """A comparison of tiny classifiers on the CPU."""
    recipe = tiny_classifier(root, steps=steps)

    def base(backbone: Any) -> Options:
        fields = {} if backbone is None else {"model.backbone": backbone}
        return small_options(with_fields(recipe, fields), out, **flags)

    return make_plan(make_variants(varied, base), num_seeds=num_seeds)


def write_finished_run(run: Path, scores: Sequence[float], *, seconds: float) -> Path:
    """The folder of a run with such a score after every ten steps, which is at its end."""
    write_run(run, *map(segmentation_evaluation, scores))
    log = run / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for line in lines:
        line |= {"seconds_per_step": seconds, "seconds_left": float(len(lines) - line["step"])}
    lines.append({"step": len(lines), "metrics": {"mIoU": scores[-1]}})
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "last").mkdir()
    save_model(create_model(ClassifierConfig(backbone=BACKBONE)), run / "last/model.safetensors")
    return run


def unmeasured(plan: Plan) -> str:
    """The page without its section of time and memory."""
    page = write_comparison(read_results(plan)).read_text()
    without, count = re.subn(
        r"<details [^>]*><summary><h2>Time and mem.*?</details>", "", page, flags=re.S
    )
    assert count == 1
    return without
