"""The flags of `evaluate` and `predict` that each task brings; nothing of torch is imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from swin_dense.heads.classification.config import Publisher
from swin_dense.ranges import LENGTHS, Ranges
from swin_dense.tools.files import make_file_writable
from swin_dense.tools.flags import Switch

_SMALLEST_TILE = 64  # px


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The flag of `evaluate` and `predict` that every task has; those of a task inherit from it."""

    ranges: ClassVar[Ranges] = {"scale": LENGTHS}

    scale: tuple[int, int] | None = None
    """LONG SHORT side of the keep-ratio resize, px; None: that of the run or of the published
    recipe of the weights, else the task's (1333 800 for detection and panoptic, 2048 512 for
    segmentation). Classification: RESIZE CROP, of the short side and then of the centre, px; None:
    the model's."""


@dataclass(frozen=True, kw_only=True)
class DetectionInference(Inference):
    """Flags of `evaluate` and `predict` for detectors."""

    ranges: ClassVar[Ranges] = {"tiles": LENGTHS, "overlap": (0, LENGTHS[1])}

    tiles: int | None = None
    """Detection: cut images that are larger into square tiles of that side, px, for objects that
    the resize would make too small; tiles keep the image's resolution, unless --scale is smaller.
    None: no tiles."""
    overlap: int = 200
    """Detection: px that neighbouring --tiles share; objects up to that size are whole in one."""

    def __post_init__(self) -> None:
        if self.tiles is None:
            if self.overlap != DetectionInference.overlap:
                raise ValueError(f"--overlap is for --tiles, got {self.overlap} without tiles")
        elif self.tiles < _SMALLEST_TILE:
            raise ValueError(f"--tiles must be at least {_SMALLEST_TILE} px, got {self.tiles}")
        elif not 0 <= self.overlap <= self.tiles // 2:
            raise ValueError(
                f"--overlap must be in 0..{self.tiles // 2}, half of --tiles, got {self.overlap}"
            )


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluation(DetectionInference):
    """Flags of `evaluate` for detectors."""

    results: Path | None = None
    """File for what was found. Detection: COCO results (a box and its mask in one); panoptic:
    COCO's panoptic JSON, with the PNGs in a folder of its name beside it."""
    format: str | None = None
    """Layout of the data folder; None: recognised from it."""
    val_fraction: float | None = None
    """Share of the images that were kept from training, 0..1: the same images as in training."""
    val_list: Path | None = None
    """File with the names of the images that were kept from training, one a line; None: those that
    the run of the weights kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.results is not None:
            make_file_writable(self.results)


@dataclass(frozen=True, kw_only=True)
class DetectionPrediction(DetectionInference):
    """Flags of `predict` for detectors."""

    score_threshold: float = 0.3
    """Detection: what scores less is left out, 0..1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.score_threshold <= 1:
            raise ValueError(f"--score-threshold must be in 0..1, got {self.score_threshold}")


@dataclass(frozen=True, kw_only=True)
class PanopticInference(Inference):
    """Flag of `predict` for panoptic segmentors: the one of every task."""


@dataclass(frozen=True, kw_only=True)
class PanopticEvaluation(PanopticInference):
    """Flags of `evaluate` for panoptic segmentors."""

    results: Path | None = None
    """File for what was found. Detection: COCO results (a box and its mask in one); panoptic:
    COCO's panoptic JSON, with the PNGs in a folder of its name beside it."""
    val_fraction: float | None = None
    """Share of the images that were kept from training, 0..1: the same images as in training."""
    val_list: Path | None = None
    """File with the names of the images that were kept from training, one a line; None: those that
    the run of the weights kept."""

    def __post_init__(self) -> None:
        if self.results is not None:
            make_file_writable(self.results)


@dataclass(frozen=True, kw_only=True)
class SegmentationInference(Inference):
    """Flags of `evaluate` and `predict` for segmentors."""

    ranges: ClassVar[Ranges] = {"crop": LENGTHS, "stride": LENGTHS}

    mode: Literal["whole", "slide", "ms_flip"] | None = None
    """Segmentation: the image in one piece (None: so), in windows, or at 0.5 to 1.75 times its
    size, with mirror images (of UPerNet the given size, of Mask2Former that by --scale)."""
    crop: tuple[int, int] | None = None
    """Segmentation: HEIGHT WIDTH of the windows of --mode slide, px; None: 512 512."""
    stride: tuple[int, int] | None = None
    """Segmentation: vertical and horizontal step of the windows, px; None: two thirds of --crop."""


@dataclass(frozen=True, kw_only=True)
class SegmentationEvaluation(SegmentationInference):
    """Flags of `evaluate` alone, for segmentors."""

    reduce_zero_label: Switch = None
    """Segmentation: true: label maps store 0 for "ignored" and 1..K; false: they store 0..K-1;
    None: the layout or the files decide."""
    val_fraction: float | None = None
    """Share of the images that were kept from training, 0..1: the same images as in training."""
    val_list: Path | None = None
    """File with the names of the images that were kept from training, one a line; None: those that
    the run of the weights kept."""


@dataclass(frozen=True, kw_only=True)
class ClassificationInference(Inference):
    """Flags of `evaluate` and `predict` for classifiers."""

    protocol: Publisher | None = None
    """Classification: resize and crop images as this publisher does for a model of its size; None:
    as the publisher of the file did, or as the recipe that trained it says."""


@dataclass(frozen=True, kw_only=True)
class ClassificationEvaluation(ClassificationInference):
    """Flags of `evaluate` for classifiers."""

    upright: bool = True
    """Classification: turn images as their cameras say (EXIF); published scores are measured with
    --no-upright."""
    val_fraction: float | None = None
    """Share of the images that were kept from training, 0..1: the same images as in training."""
    val_list: Path | None = None
    """File with the names of the images that were kept from training, one a line; None: those that
    the run of the weights kept."""


@dataclass(frozen=True, kw_only=True)
class ClassificationPrediction(ClassificationInference):
    """Flags of `predict` for classifiers."""

    ranges: ClassVar[Ranges] = {"top": (1, 1000)}

    top: int = 5
    """Classification: scores that are written for each image, the highest first."""
