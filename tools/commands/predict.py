"""`swin-dense predict`: what a model finds in images, folders of images or videos."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from swin_dense.checkpoints.download import find_source
from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS, check_file
from swin_dense.ranges import Ranges
from swin_dense.tools.files import UniqueNames, make_writable
from swin_dense.tools.flags import document_flags, make_options
from swin_dense.tools.printable import write_line
from swin_dense.tools.tasks.table import choose_flags, find_task, join_flags, split_flags

if TYPE_CHECKING:
    import cv2
    import numpy as np

    from swin_dense.heads.whole_model import Model
    from swin_dense.tools.tasks.drawing import Picture
    from swin_dense.tools.tasks.task import PredictionWriter, Predictor, Task

_KIND = "prediction_flags"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Run a model over images, folders of images or videos; writes overlays and results."""

    ranges: ClassVar[Ranges] = {"batch_size": (1, 256), "max_megapixels": MEGAPIXELS}

    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Images, folders (searched through) or videos."""
    weights: Path
    """Weights file of a whole model, or what `export` wrote of one."""
    out: Path
    """Folder for the pictures and results."""
    batch_size: int = 1
    """Images predicted together."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Images that state more than this are not read."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Number format of the network."""


@dataclass(frozen=True)
class _Frame:
    """One image to predict; `video` is the file that it is a frame of."""

    name: str
    pixels: "np.ndarray" = field(repr=False)  # (H, W, 3) uint8 RGB
    video: Path | None = None


def options_type() -> type:
    """The flags of the command, with those that each task brings."""
    return join_flags(CommonOptions, _KIND)


@document_flags(options_type())
def predict(
    weights: str | PathLike[str],
    inputs: str | PathLike[str] | Sequence[str | PathLike[str]],
    **flags: Any,
) -> Path:
    """Run a model over images, folders of images or videos; writes overlays and results.

    Args:
        weights: file of a whole model, the name of a published one, or an exported file.
        inputs: an image, a folder or a video, or a list of them.
        flags: of `swin-dense predict`, such as `out="found"`, with underscores; its `--help`
            explains each.

    Returns:
        The folder of the results: `overlays`, and a detector's or a classifier's
        `predictions.json` or a segmentor's `label_maps` and `classes.txt`.

    Raises:
        ValueError: a flag is out of range, or there is no input; or, when all is done, an input
            that was named itself could not be read.
        FileNotFoundError: an input or the weights are missing.
    """
    inputs = [inputs] if isinstance(inputs, str | PathLike) else inputs
    options: Any = make_options(options_type(), {"weights": weights, "inputs": inputs, **flags})
    run(options)
    return options.out


def run(options: Any) -> None:
    """Predict every input; raises as `predict`."""
    if not options.inputs:
        raise ValueError("predict must have images, folders or videos as inputs, got none")
    flags_of_tasks = split_flags(options, _KIND)
    sources = _tell_apart(list(_find_sources(options.inputs)))
    find_source(options.weights)
    pictures = make_writable(options.out / "overlays")
    if any(pictures.iterdir()):
        print(
            f"{options.out} has results already; those of the same names are replaced",
            file=sys.stderr,
        )

    from swin_dense.datasets.images import limit_pixels
    from swin_dense.tools.export.exported_models import open_model
    from swin_dense.tools.progress import ProgressLines
    from swin_dense.tools.runs.folder import with_known_scale
    from swin_dense.tools.tasks.drawing import save_picture

    limit_pixels(options.max_megapixels)
    model = open_model(options.weights, device=options.device, precision=options.precision)
    task = find_task(model.task)
    flags = with_known_scale(choose_flags(flags_of_tasks, task), options.weights)
    predictor = task.predictor(flags, model)
    writer = task.writer(options.out, model, flags)
    names = UniqueNames(pictures)
    videos = _VideoWriter(names)
    unreadable: list[str] = []
    frames = _read_frames(sources, unreadable)
    progress = ProgressLines()
    num_done = 0
    try:
        while chunk := list(islice(frames, options.batch_size)):
            shown = _predict(model, task, predictor, chunk, options.precision, writer)
            for frame, picture in zip(chunk, shown, strict=True):
                if frame.video is None:
                    save_picture(picture, names.claim(frame.name, (".jpg", ".png")))
                else:
                    videos.add(frame.video, picture)
            num_done += len(chunk)
            progress.show(f"{num_done} done, last {chunk[-1].name}")
            chunk.clear()  # large images: the next ones are read without these in memory
            shown.clear()
            del frame, picture
    finally:  # an input that cannot be read must not cost what was found in those before it
        progress.finish()
        videos.close()
        writer.close()
    if unreadable:
        kept = f"; the results of {num_done} others are in {options.out}" if num_done else ""
        raise ValueError("; ".join(unreadable) + kept)
    if num_done == 0:
        raise ValueError("none of the inputs could be read")


def _predict(
    model: "Model",
    task: "Task",
    predictor: "Predictor",
    frames: list[_Frame],
    precision: str,
    writer: "PredictionWriter",
) -> "list[Picture]":
    """Results of a few images go to the writer; their pictures come back."""
    import torch

    from swin_dense.datasets.images import image_size
    from swin_dense.tools.tasks.evaluation import autocast

    device = next(model.parameters()).device
    resized = [task.resize(frame.pixels, predictor.scale) for frame in frames]
    sizes = [image_size(frame.pixels) for frame in frames]
    with torch.no_grad(), autocast(device, precision):
        results = predictor.predict(model, resized, sizes)
    images = [torch.from_numpy(frame.pixels).permute(2, 0, 1) for frame in frames]  # (3, H, W)
    return [
        writer.add(frame.name, image, result)
        for frame, image, result in zip(frames, images, results, strict=True)
    ]


def _find_sources(inputs: tuple[Path, ...]) -> Iterator[tuple[Path, str, bool]]:
    """File, name in the output, and whether it was named itself, for each image or video."""
    for path in inputs:
        if path.is_dir():
            found = [
                file
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in _IMAGE_SUFFIXES + _VIDEO_SUFFIXES and not file.is_dir()
            ]
            if not found:
                raise ValueError(f"{path} must hold images or videos, got none")
            yield from ((file, str(file.relative_to(path)), False) for file in found)
        else:
            yield check_file(path, "image, folder or video"), path.name, True


def _tell_apart(sources: list[tuple[Path, str, bool]]) -> list[tuple[Path, str, bool]]:
    """Sources with names from the folder that all of them are in, where two have one name."""
    uses = Counter(name for _, name, _ in sources)
    if len(uses) == len(sources):
        return sources
    shared = os.path.commonpath([path.absolute().parent for path, _, _ in sources])
    return [
        (path, os.path.relpath(path.absolute(), shared) if uses[name] > 1 else name, is_named)
        for path, name, is_named in sources
    ]


def _read_frames(sources: list[tuple[Path, str, bool]], unreadable: list[str]) -> Iterator[_Frame]:
    """Every image and every frame.

    A file that cannot be read does not stop the others: of a folder it is only reported, of one
    that was named itself the message goes to `unreadable`.
    """
    from swin_dense.datasets.images import read_image

    for path, name, is_named in sources:
        try:
            if path.suffix.lower() in _VIDEO_SUFFIXES:
                yield from _video_frames(path, name)
            else:
                yield _Frame(name, read_image(path))
        except (ValueError, OSError) as error:
            if is_named:
                unreadable.append(str(error))
            else:
                write_line(f"skipped: {error}")


def _video_frames(path: Path, name: str) -> Iterator[_Frame]:
    import cv2

    from swin_dense.datasets.images import check_pixels

    capture = cv2.VideoCapture(str(check_file(path, "video")))
    try:
        height, width = cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH
        check_pixels((int(capture.get(height)), int(capture.get(width))), path)
        index = 0
        while (answer := capture.read())[0]:
            pixels = cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB)
            yield _Frame(f"{name}/{index:06d}", pixels, path)
            index += 1
        if index == 0:
            raise ValueError(f"{path} cannot be read as a video")
    finally:
        capture.release()


class _VideoWriter:
    """Overlay videos, one for each video that was read."""

    def __init__(self, names: UniqueNames) -> None:
        self._names = names
        self._current: Path | None = None
        self._writer: cv2.VideoWriter | None = None

    def add(self, video: Path, picture: "Picture") -> None:
        import cv2

        if video != self._current or self._writer is None:
            self.close()
            capture = cv2.VideoCapture(str(video))
            frame_rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
            capture.release()
            path = self._names.claim(video.name, (".mp4",))
            size = (picture.shape[1], picture.shape[0])
            self._writer = cv2.VideoWriter(
                str(path), cv2.VideoWriter.fourcc(*"mp4v"), frame_rate, size
            )
            self._current = video
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
        self._writer = None
