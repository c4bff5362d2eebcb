"""`swin-dense features`: pyramid features of many images, as a store that can be resumed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from swin_dense.checkpoints.download import find_source
from swin_dense.datasets.features.inputs import find_images
from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS
from swin_dense.ranges import LENGTHS, Ranges, check_ranges
from swin_dense.tools.files import hold, make_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line

if TYPE_CHECKING:
    from swin_dense.datasets.features.feature_store import FeatureStore
    from swin_dense.datasets.features.inputs import ImageFile
    from swin_dense.tools.features.extractor import ExtractorConfig
    from swin_dense.tools.features.pipeline import Progress
    from swin_dense.tools.features.plan import StorePlan

_NAMED = 5  # images without features in the line at the end


@dataclass(frozen=True, kw_only=True)
class Options:
    """Compute pyramid features of many images into a store; again, it does what is missing."""

    ranges: ClassVar[Ranges] = {
        "levels": (0, 15),
        "scale": LENGTHS,
        "batch_size": (1, 4096),
        "workers": (0, 256),
        "threads": (1, 1024),
        "images_per_shard": (1, 100_000),
        "actors": (1, 100_000),
        "max_megapixels": MEGAPIXELS,
    }

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images, folders (searched through), patterns, @FILE with a path a line, or COCO files with
    the folder of their images behind them, or where COCO has it."""
    weights: Path
    """Weights file of a backbone or of a whole model."""
    out: Path
    """Folder of the store."""
    levels: tuple[int, ...] | None = None
    """Levels to keep, from 0, fine to coarse; None: all."""
    pyramid: Literal["backbone", "fpn"] = "backbone"
    """Maps of the backbone, or of a detector's feature pyramid network."""
    dtype: Literal["float16", "float32", "bfloat16"] = "float16"
    """Number format of what is stored."""
    scale: tuple[int, int] | None = None
    """LONG SHORT side of the keep-ratio resize, px; None: the model's task's, as in `predict`; a
    backbone alone takes images as they are."""
    pool: Literal["mean", "none"] = "none"
    """mean: also one vector a level, the mean of its map."""
    batch_size: int | None = None
    """Images computed together; None: as many as have 1 megapixel (on a GPU 16)."""
    workers: int = 2
    """Threads that read images; 0: each image is read when it is needed."""
    threads: int | None = None
    """Threads of the computation on the CPU, which the last bit can depend on; None: those that
    the store was begun with, else one a core."""
    images_per_shard: int | None = None
    """Images of a file of the store; None: so many that it has 32 MiB to 1 GiB."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Images that state more than this are not read."""
    strict: bool = False
    """End with status 2 if an image could not be read; all others are done before."""
    force: bool = False
    """Start although the disk has not enough room."""
    preview: bool = False
    """Write preview.html: what the features tell apart in some of the images."""
    engine: Literal["local", "ray"] = "local"
    """This process, or processes of Ray on this machine or many."""
    ray_address: str | None = None
    """Ray: cluster to join, such as auto or ray://HOST:10001; None: Ray is started here."""
    actors: int | None = None
    """Ray: processes with a model each; None: one a GPU, or one for each --threads cores."""

    def __post_init__(self) -> None:
        check_ranges(self, as_flags=True)
        for name in ("ray_address", "actors"):
            if getattr(self, name) is not None and self.engine != "ray":
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must have --engine ray, got --engine {self.engine}")


@document_flags(Options)
def features(
    weights: str | PathLike[str],
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    **flags: Any,
) -> "FeatureStore":
    """Compute pyramid features of many images into a store; again, it does what is missing.

    Args:
        weights: file of a backbone or of a whole model, or the name of a published one.
        inputs: an image, a folder, a pattern, `@list.txt` or a COCO file, or a list of them.
        flags: of `swin-dense features`, such as `out="features"`, with underscores; its `--help`
            explains each.

    Returns:
        The store.

    Raises:
        ValueError: a flag is out of range; there is no input, or two images have one id; the folder
            holds features that were made otherwise, is in use, or has not enough room; or, with
            `strict` and when all is done, an image could not be read.
        FileNotFoundError: an input or the weights are missing.
    """
    inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
    return run(make_options(Options, {"weights": weights, "inputs": inputs, **flags}))


def run(options: Options) -> "FeatureStore":
    """Fill the store; raises as `features`."""
    if not options.inputs:
        raise ValueError("features must have images, folders, patterns or lists, got none")
    if any(path.suffix.lower() == ".json" for path in options.inputs):
        from swin_dense.datasets.images import limit_pixels

        limit_pixels(options.max_megapixels)
    images = find_images(options.inputs)
    find_source(options.weights)
    with hold(make_writable(options.out)):
        import torch

        threads = torch.get_num_threads()
        try:
            return _fill(options, images)
        finally:
            torch.set_num_threads(threads)  # of who called the function


def _fill(options: Options, images: "dict[str, ImageFile]") -> "FeatureStore":
    from swin_dense.datasets.features.feature_store import FeatureStore
    from swin_dense.datasets.features.layout import INDEX
    from swin_dense.datasets.images import limit_pixels
    from swin_dense.tools.features.extractor import Extractor
    from swin_dense.tools.features.plan import check_room, describe_plan, make_plan

    limit_pixels(options.max_megapixels)
    config = _config(options)
    # Actors have models of their own: this one only says what comes out of it.
    is_local = options.engine == "local"
    extractor = Extractor(config if is_local else replace(config, device="cpu"))
    plan = make_plan(
        options.out,
        images,
        extractor.description,
        inputs=[str(path) for path in options.inputs],
        run=_circumstances(options, config),
        images_per_shard=options.images_per_shard,
    )
    for name in plan.damaged:
        write_line(f"{name} in {options.out} is not whole and is made anew")
    write_line(describe_plan(plan))
    if len(plan.stored.runs) > 1 and plan.tasks:
        write_line(
            f"{options.out} is made in more than one way: the last bits of values may differ"
        )
    if not options.force:
        check_room(plan)
    if plan.tasks:
        # A table of what was there before would hide what is made now, if this run is killed.
        (plan.folder / INDEX).unlink(missing_ok=True)
        _report(_work(options, config, extractor, plan), plan)
    _write_index(plan)
    store = FeatureStore(options.out)
    if options.preview:
        from swin_dense.tools.features.preview import write_preview

        write_preview(store, images, options.out / "preview.html")
    _tell_errors(store, is_strict=options.strict)
    return store


def _config(options: Options) -> "ExtractorConfig":
    """The extractor's config; threads as the store was begun with, if it was."""
    import torch

    from swin_dense.datasets.features.layout import has_store, read_store
    from swin_dense.tools.features.extractor import ExtractorConfig

    threads = options.threads
    if threads is None and has_store(options.out):
        runs = read_store(options.out).runs
        threads = runs[0].get("threads") if runs else None
    return ExtractorConfig(
        weights=str(options.weights),
        pyramid=options.pyramid,
        levels=options.levels,
        dtype=options.dtype,
        pool=options.pool,
        scale=options.scale,
        precision=options.precision,
        device=options.device,
        threads=threads or torch.get_num_threads(),
    )


def _circumstances(options: Options, config: "ExtractorConfig") -> dict[str, Any]:
    """Circumstances that the last bits of a value can depend on."""
    import cv2
    import torch

    import swin_dense

    return {
        "swin_dense": swin_dense.__version__,
        "torch": torch.__version__,
        "opencv": cv2.__version__,
        "device": _name_device(options),
        "threads": config.threads,
        "batch_size": options.batch_size,
    }


def _name_device(options: Options) -> str:
    import torch

    from swin_dense.tools.tasks.evaluation import choose_device

    if options.ray_address is not None:
        return "a cluster of Ray"
    device = choose_device(options.device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})"


def _work(
    options: Options, config: "ExtractorConfig", extractor: Any, plan: "StorePlan"
) -> "Iterator[Progress]":
    """The engine at work."""
    from swin_dense.datasets.features.layout import SHARDS

    folder = plan.folder / SHARDS
    if options.engine == "local":
        from swin_dense.tools.features.pipeline import make_shards

        return make_shards(
            plan.tasks,
            extractor,
            folder,
            num_workers=options.workers,
            batch_size=options.batch_size,
        )
    from swin_dense.tools.features.ray_engine import make_shards_with_ray

    return make_shards_with_ray(
        plan.tasks,
        config,
        folder.absolute(),
        address=options.ray_address,
        num_actors=options.actors,
        num_workers=options.workers,
        batch_size=options.batch_size,
        max_megapixels=options.max_megapixels,
    )


def _report(reports: "Iterator[Progress]", plan: "StorePlan") -> None:
    """Show how far the work is, as it goes."""
    from swin_dense.tools.features.progress_line import ProgressLine
    from swin_dense.tools.progress import ProgressLines

    lines = ProgressLines()
    line = ProgressLine(plan.num_missing, clock=time.monotonic)
    try:
        for report in reports:
            line.add(report)
            lines.show(str(line))
    finally:
        lines.finish()


def _write_index(plan: "StorePlan") -> None:
    """Write index.parquet, unless it is there already."""
    from swin_dense.datasets.features.layout import INDEX, SHARDS
    from swin_dense.datasets.features.parquet_index import NEEDED, has_pyarrow, write_index
    from swin_dense.datasets.features.shards import read_whole_shards

    if not plan.tasks and (plan.folder / INDEX).is_file():
        return
    if not has_pyarrow():
        write_line(f"warning: {NEEDED}, and the same command again writes it")
        return
    names = [shard.name for shard in plan.shards]
    indexes = read_whole_shards(plan.folder / SHARDS, names)
    write_index(plan.folder, plan.stored.description, indexes, num_shards=len(names))


def _tell_errors(store: "FeatureStore", *, is_strict: bool) -> None:
    if not store.errors:
        return
    named = "; ".join(list(store.errors.values())[:_NAMED])
    more = "; ..." if len(store.errors) > _NAMED else ""
    count = f"{len(store.errors):,} of {len(store) + len(store.errors):,} images"
    line = f"{count} in {store.folder} have no features: {named}{more}"
    if is_strict:
        raise ValueError(line)
    write_line(f"warning: {line}")
