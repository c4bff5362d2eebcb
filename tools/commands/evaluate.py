"""`swin-dense evaluate`: the scores of a model on a data set."""

from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swin_dense.checkpoints.download import find_source
from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS
from swin_dense.ranges import Ranges
from swin_dense.tools.files import check_folder, make_file_writable, write_json
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line
from swin_dense.tools.tasks.table import choose_flags, find_task, join_flags, split_flags

if TYPE_CHECKING:
    from swin_dense.tools.tasks.task import Evaluation

_KIND = "evaluation_flags"


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The scores of a model on a split of a data set: COCO's 12 numbers, mIoU, PQ, or top-1."""

    ranges: ClassVar[Ranges] = {
        "batch_size": (1, 256),
        "workers": (0, 256),
        "max_megapixels": MEGAPIXELS,
    }

    weights: Path
    """Weights file of a whole model, whose architecture is read off it; or what `export` wrote."""
    data: Path
    """Folder of the data set."""
    split: str | None = None
    """Part of the data set; None: the task's (val2017, validation, val)."""
    json: Path | None = None
    """File for the scores."""
    batch_size: int = 1
    """Images predicted together."""
    workers: int = 2
    """Processes that read images; 0: none."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Images that state more than this are not read."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network."""


def options_type() -> type:
    """The flags of the command, with those that each task brings."""
    return join_flags(CommonOptions, _KIND)


@document_flags(options_type())
def evaluate(weights: str | PathLike[str], **flags: Any) -> dict[str, Any]:
    """Score a model on a split of a data set.

    Args:
        weights: file of a whole model, the name of a published one, or an exported file.
        flags: of `swin-dense evaluate`, such as `data="my_data"`, with underscores; its `--help`
            explains each.

    Returns:
        The machine-readable scores, as `--json` writes them. Detection: `bbox`, and `segm` where
        model and data have masks, with COCO's 12 numbers each, fractions, -1 where a size has no
        object. Segmentation: `mIoU`,
        `mAcc`, `aAcc`, `IoU` of each class, fractions, and the areas behind them, pixels.
        Classification: `top1`, `top5`, `mean_top1`, of each class too, fractions, and `images`.

    Raises:
        ValueError: a flag, the data or the weights are wrong, or do not fit each other.
        FileNotFoundError: a file is missing.
    """
    return _evaluate(make_options(options_type(), {"weights": weights, **flags})).metrics


def run(options: Any) -> None:
    """Evaluate and print the scores; raises as `evaluate`."""
    evaluation = _evaluate(options)

    from swin_dense.tools.console import Console

    console = Console()
    for table in evaluation.tables:
        console.print(table)


def _evaluate(options: Any) -> "Evaluation":
    flags_of_tasks = split_flags(options, _KIND)
    if options.json is not None:
        make_file_writable(options.json)
    find_source(options.weights)
    check_folder(options.data, flag="--data")

    from swin_dense.datasets.images import limit_pixels
    from swin_dense.tools.export.exported_models import open_model
    from swin_dense.tools.runs.folder import with_known_scale
    from swin_dense.tools.tasks.evaluation import evaluate_model

    limit_pixels(options.max_megapixels)
    model = open_model(options.weights, device=options.device, precision=options.precision)
    task = find_task(model.task)
    flags = choose_flags(flags_of_tasks, task)
    flags = with_known_scale(flags, options.weights)
    predictor = task.predictor(flags, model)
    flags = _with_parts_of_run(flags, options)
    data = task.data_at(options.data, split=options.split, flags=flags)
    dataset = task.evaluation_data(data, scale=predictor.scale, model=model)
    description = getattr(dataset, "description", None)
    if description is not None:
        write_line(description)
    evaluation = evaluate_model(
        model,
        dataset,
        task,
        predict=predictor.predict,
        batch_size=options.batch_size,
        num_workers=options.workers,
        precision=options.precision,
    )
    if options.json is not None:
        write_json(options.json, evaluation.metrics)
    task.write_results(evaluation, flags)
    return evaluation


def _with_parts_of_run(flags: Any, options: Any) -> Any:
    """The flags with the images that the run of the weights kept from its training, if it did."""
    known = {field.name for field in fields(flags)}
    if not {"val_fraction", "val_list"} <= known or options.split is not None:
        return flags
    if flags.val_fraction is not None or flags.val_list is not None:
        return flags
    from swin_dense.tools.runs.folder import find_kept_images

    return replace(flags, val_list=find_kept_images(options.weights, options.data))
