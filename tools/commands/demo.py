"""`swin-dense demo`: draw data, train on it, evaluate, show; needs no data, weights or network."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from swin_dense.ranges import Ranges, check_ranges
from swin_dense.tools.files import make_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line
from swin_dense.tools.recipes.data import DataConfig
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.runs.names import REPORT_FILE, WEIGHTS_FILE
from swin_dense.tools.tasks.table import find_task
from swin_dense.tools.training.options import Options as TrainOptions

if TYPE_CHECKING:
    from swin_dense.heads.whole_model import Model
    from swin_dense.tools.report.page import Section

_RECIPES = ("mask_rcnn_demo", "upernet_demo")
_NUM_PICTURES = 12
_LEAST = {"train_images": 1, "val_images": 1, "size": 32, "steps": 1, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw a small data set, train a detector and a segmentor on it, evaluate them on held-out
    images, write a report."""

    ranges: ClassVar[Ranges] = {
        "train_images": (1, 10**6),
        "val_images": (1, 10**6),
        "size": (32, 4096),
        "steps": (1, 10**9),
        "seed": (0, 2**32 - 1),
    }

    out: Path = Path("demo")
    """Folder for everything."""
    train_images: int = 800
    """Drawn images to train on."""
    val_images: int = 100
    """Drawn images to evaluate on; drawn from another random source, never trained on."""
    size: int = 128
    """Side of the images, px."""
    steps: int | None = None
    """Training steps of each; None: the recipes'."""
    seed: int = 0
    """Of the drawings and of the training."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be at least {least}, got {value}")


@document_flags(Options)
def demo(**flags: Any) -> Path:
    """Draw a small data set, train a detector and a segmentor on it, evaluate them, show them.

    Args:
        flags: of `swin-dense demo`, such as `steps=50`, with underscores; its `--help` explains
            each.

    Returns:
        The report. Beside it are the folders of the two runs, with pictures in `overlays`.

    Raises:
        ValueError: a number is out of range or the folder cannot be written.
    """
    options = make_options(Options, flags)
    run(options)
    return options.out / REPORT_FILE


def run(options: Options) -> None:
    """Run the demonstration; raises as `demo`."""
    start = time.perf_counter()
    check_ranges(options, as_flags=True)
    make_writable(options.out)

    from swin_dense.datasets.shapes import write_shapes
    from swin_dense.tools.report import page
    from swin_dense.tools.runs.log import clock

    data = options.out / "data"
    write_line(f"drawing {options.train_images} + {options.val_images} images")
    write_shapes(
        data,
        num_train=options.train_images,
        num_val=options.val_images,
        size=options.size,
        seed=options.seed,
    )
    blocks: list[str | Section] = [
        page.paragraph(
            f"Trained from random weights on {options.train_images} drawn images of "
            f"{options.size} x {options.size} px; scores are of {options.val_images} others."
        )
    ]
    for name in _RECIPES:
        blocks.append(_run_recipe(find_recipe(name), data, options))
    seconds = time.perf_counter() - start
    blocks.insert(1, page.paragraph(f"Everything took {clock(seconds)} minutes.", kind="muted"))
    path = options.out / REPORT_FILE
    page.write_page(path, "Swin on drawn shapes", blocks)
    write_line(f"done in {clock(seconds)}; see {path}")


def _run_recipe(recipe: Recipe, data: Path, options: Options) -> "Section":
    """Train and evaluate one recipe; gives its part of the report."""
    from swin_dense.heads.checkpoints import from_checkpoint
    from swin_dense.tools.report import page
    from swin_dense.tools.report.run_report import run_blocks
    from swin_dense.tools.runs.folder import read_run
    from swin_dense.tools.tasks.evaluation import choose_device
    from swin_dense.tools.training.run import train

    out = options.out / recipe.task
    recipe = replace(
        recipe,
        data=replace(recipe.data, root=data),
        steps=options.steps or recipe.steps,
        seed=options.seed,
    )
    # Two cores are best used by the model; the small images take no time to read.
    if train(TrainOptions(recipe=recipe, out=out, workers=0, log_every=20)) is None:
        raise KeyboardInterrupt
    model = from_checkpoint(out / "last" / WEIGHTS_FILE).to(choose_device("auto"))
    _draw_pictures(model, recipe.data, out / "overlays")
    return page.Section(title=recipe.task.capitalize(), blocks=run_blocks(read_run(out)))


def _draw_pictures(model: "Model", data: DataConfig, folder: Path) -> None:
    """Write held-out images with the ground truth beside the prediction into `folder`."""
    import torch

    from swin_dense.tools.tasks.drawing import save_picture
    from swin_dense.tools.tasks.evaluation import evaluation_loader, predict_batches

    task = find_task(model.task)
    make_writable(folder)
    predictor = task.predictor(task.evaluation_flags(scale=data.scale), model)
    dataset = task.evaluation_data(data, scale=predictor.scale, model=model)
    chosen = torch.utils.data.Subset(dataset, range(min(_NUM_PICTURES, len(dataset))))
    loader = evaluation_loader(chosen, batch_size=1, num_workers=0)
    for samples, results in predict_batches(model, loader, predict=predictor.predict):
        for sample, result in zip(samples, results, strict=True):
            drawn = task.draw_beside_truth(dataset, sample, result, model)
            save_picture(drawn, folder / f"{sample['image_id']}.png")
