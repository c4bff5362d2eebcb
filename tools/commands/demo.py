"""`swin-dense demo`: draw data, train on it, evaluate, show; needs no data, weights or network."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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

_RECIPES = {
    "detection": "mask_rcnn_demo",
    "segmentation": "upernet_demo",
    "classification": "classifier_demo",
}
_NUM_TRAIN = 800
_NUM_TRAIN_CLASSES = 2000  # images to classify are smaller, and learn one thing each
_NUM_PICTURES = 12
_LEAST = {"train_images": 1, "val_images": 1, "size": 32, "steps": 1, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw a small data set, train a detector and a segmentor on it (or a classifier), evaluate
    them on held-out images, write a report."""

    ranges: ClassVar[Ranges] = {
        "train_images": (1, 10**6),
        "val_images": (1, 10**6),
        "size": (32, 4096),
        "steps": (1, 10**9),
        "seed": (0, 2**32 - 1),
    }

    out: Path = Path("demo")
    """Folder for everything."""
    tasks: tuple[Literal["detection", "segmentation", "classification"], ...] = (
        "detection",
        "segmentation",
    )
    """Models to train. Classification has a data set of its own, one shape an image, in half the
    size."""
    train_images: int | None = None
    """Drawn images to train on; None: 800, for classification 2000."""
    val_images: int = 100
    """Drawn images to evaluate on; drawn from another random source, never trained on."""
    size: int = 128
    """Side of the images, px."""
    steps: int | None = None
    """Training steps of each; None: the recipes'."""
    seed: int = 0
    """Of the drawings and of the training."""

    def __post_init__(self) -> None:
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ValueError(
                f"--tasks must be different ones, got {' '.join(self.tasks) or 'none'}"
            )
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

    from swin_dense.tools.report import page
    from swin_dense.tools.runs.log import clock

    data = _draw_data(options)
    numbers = ", ".join(
        f"{_count(options, task)} of {_size(options, task)} px for {task}" for task in options.tasks
    )
    blocks: list[str | Section] = [
        page.paragraph(
            f"Trained from random weights on drawn images: {numbers}. Scores are of "
            f"{options.val_images} others."
        )
    ]
    for task in options.tasks:
        blocks.append(_run_recipe(find_recipe(_RECIPES[task]), data[task], options))
    seconds = time.perf_counter() - start
    blocks.insert(1, page.paragraph(f"Everything took {clock(seconds)} minutes.", kind="muted"))
    path = options.out / REPORT_FILE
    page.write_page(path, "Swin on drawn shapes", blocks)
    write_line(f"done in {clock(seconds)}; see {path}")


def _draw_data(options: Options) -> dict[str, Path]:
    """Draw what the tasks are trained on; the folder of each task's data."""
    from swin_dense.datasets.drawn.shape_classes import write_shape_classes
    from swin_dense.datasets.shapes import write_shapes

    folders = {"classification": options.out / "classes"}
    folders |= dict.fromkeys(("detection", "segmentation"), options.out / "data")
    draw = {options.out / "classes": write_shape_classes, options.out / "data": write_shapes}
    for task in options.tasks:
        write = draw.pop(folders[task], None)
        if write is not None:
            count = _count(options, task)
            write_line(f"drawing {count} + {options.val_images} images")
            write(
                folders[task],
                num_train=count,
                num_val=options.val_images,
                size=_size(options, task),
                seed=options.seed,
            )
    return folders


def _count(options: Options, task: str) -> int:
    """Images to train a task on."""
    if options.train_images is not None:
        return options.train_images
    return _NUM_TRAIN_CLASSES if task == "classification" else _NUM_TRAIN


def _size(options: Options, task: str) -> int:
    """Side of a task's images, px."""
    return options.size // 2 if task == "classification" else options.size


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
            name = str(sample["image_id"]).replace("/", "_")
            save_picture(drawn, folder / f"{name}.png")
