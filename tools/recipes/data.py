"""Data of a recipe: a folder, its splits, and the augmentation of its task."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from swin_dense.ranges import LENGTHS, Ranges
from swin_dense.tools.files import check_folder
from swin_dense.tools.flags import Switch


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The part that every data set has; the config of a task's data inherits from it.

    Attributes:
        task: name of the task in `tasks.table.TASKS`.
    """

    task: ClassVar[str]

    ranges: ClassVar[Ranges] = {"scale": LENGTHS}

    root: Path
    """Folder of the data set."""
    train_split: str
    """Split to train on."""
    val_split: str
    """Split to evaluate on."""
    scale: tuple[int, int]
    """LONG SHORT side of the keep-ratio resize in evaluation, px."""

    def check_root(self) -> None:
        """See that the root is there, before anything is read or imported for it.

        Raises:
            FileNotFoundError: it is not; a task whose data are no folder takes any.
        """


@dataclass(frozen=True, kw_only=True)
class DetectionData(DataConfig):
    """A data set in a layout of detection data and its augmentation (Carion et al. 2020, DETR)."""

    task: ClassVar[str] = "detection"
    ranges: ClassVar[Ranges] = {
        "flip": (0, 1),
        **dict.fromkeys(("train_shorts", "train_long", "crop_shorts", "crop_range"), LENGTHS),
    }
    with_masks: ClassVar[bool] = True

    root: Path = Path("data/coco")
    """Folder with annotations/instances_{split}.json and {split}/*.jpg, or in another layout."""
    train_split: str = "train2017"
    """Split to train on; where the layout has no train2017, its own for training."""
    val_split: str = "val2017"
    """Split to evaluate on; where the layout has no val2017, its own for validation."""
    format: str | None = None
    """Layout of the folder (coco, roboflow, cvat, label_studio, coco_files); None: recognised."""
    val_fraction: float | None = None
    """Share of the training split's images to keep for evaluation, 0..1, in place of val_split; the
    same images each time."""
    val_list: Path | None = None
    """File with the names of the images to keep instead, one a line."""
    flip: float = 0.5
    """Probability of the mirror image."""
    train_shorts: tuple[int, ...] = tuple(range(480, 801, 32))
    """Lengths of the short side to choose from, px."""
    train_long: int = 1333
    """Largest long side in training, px."""
    crop_shorts: tuple[int, ...] = (400, 500, 600)
    """Half of the images are first resized to one of these short sides, px, and cropped; empty: no
    crops."""
    crop_range: tuple[int, int] = (384, 600)
    """Smallest and largest side of that crop, px."""
    scale: tuple[int, int] = (1333, 800)
    """LONG SHORT side of the keep-ratio resize in evaluation, px."""

    def __post_init__(self) -> None:
        _check_part(self.val_fraction, self.val_list)

    def check_root(self) -> None:
        """See `DataConfig`."""
        check_folder(self.root, flag="--data.root")


@dataclass(frozen=True, kw_only=True)
class BoxData(DetectionData):
    """A data set in COCO layout of which boxes alone are read, and its augmentation."""

    with_masks: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class JitteredData(DetectionData):
    """A data set in COCO layout with large-scale jitter (Ghiasi et al. 2021) as augmentation.

    The fields of the other augmentation have no effect.
    """

    ranges: ClassVar[Ranges] = {"size": (1, LENGTHS[1]), "jitter": (0, 16)}

    size: int = 1024
    """Side of the square images that are trained on, px."""
    jitter: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest factor by which images, fitted into the square, are resized."""


@dataclass(frozen=True, kw_only=True)
class SegmentationData(DataConfig):
    """A data set of label maps and its augmentation (mmsegmentation's, as released)."""

    task: ClassVar[str] = "segmentation"
    ranges: ClassVar[Ranges] = {
        "flip": (0, 1),
        "crop": LENGTHS,
        "ratios": (0, 16),
        "cat_max_ratio": (0, 1),
    }

    root: Path = Path("data/ADEChallengeData2016")
    """Folder with images/{split}, annotations/{split}, and classes.txt or classes.csv if the
    classes are not ADE20K's; or in another layout."""
    train_split: str = "training"
    """Split to train on; `train` is the same."""
    val_split: str = "validation"
    """Split to evaluate on; `val`, `valid` and `dev` are the same."""
    val_fraction: float | None = None
    """Share of the training split's images to keep for evaluation, 0..1, in data without a
    validation split; the same images each time."""
    val_list: Path | None = None
    """File with the names of the images to keep instead, one a line."""
    class_names: tuple[str, ...] = ()
    """Names of the classes in the order of their labels; empty: those of the root's list."""
    reduce_zero_label: Switch = None
    """true: label maps store 0 for "ignored" and 1..K; false: they store 0..K-1. None: the layout
    or the files decide. 255 is always ignored."""
    scale: tuple[int, int] = (2048, 512)
    """LONG SHORT side of the keep-ratio resize, px; in training times a ratio."""
    ratios: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest of those ratios."""
    crop: tuple[int, int] = (512, 512)
    """HEIGHT WIDTH of the training crop, px."""
    cat_max_ratio: float = 0.75
    """The most of a crop's labelled pixels that one class may have, in one of 10 tries."""
    flip: float = 0.5
    """Probability of the mirror image."""
    photometric: bool = True
    """Distort brightness, contrast, saturation and hue; with `no-` colours stay as they are."""

    def __post_init__(self) -> None:
        _check_part(self.val_fraction, self.val_list)

    def check_root(self) -> None:
        """See `DataConfig`."""
        check_folder(self.root, flag="--data.root")


@dataclass(frozen=True, kw_only=True)
class PaddedData(SegmentationData):
    """A data set of label maps with Mask2Former's augmentation: `ratios` has no effect."""

    ranges: ClassVar[Ranges] = {"train_shorts": LENGTHS, "train_long": LENGTHS}

    cat_max_ratio: float = 1.0
    """The most of a crop's labelled pixels that one class may have; 1: all."""
    train_shorts: tuple[int, ...] = tuple(512 * ratio // 10 for ratio in range(5, 21))
    """Lengths of the short side to choose from in training, px."""
    train_long: int = 2048
    """Largest long side in training, px."""


@dataclass(frozen=True, kw_only=True)
class PanopticData(DataConfig):
    """A data set in COCO's panoptic format and its augmentation (Cheng et al. 2022)."""

    task: ClassVar[str] = "panoptic"
    ranges: ClassVar[Ranges] = {
        "flip": (0, 1),
        "size": (1, LENGTHS[1]),
        "jitter": (0, 16),
        "train_shorts": LENGTHS,
        "train_long": LENGTHS,
    }

    root: Path = Path("data/coco")
    """Folder with annotations/panoptic_{split}.json, the PNGs in a folder of that name, and
    {split}/*.jpg; or with ade20k_panoptic_{split}.json, such a folder, and images/{split}."""
    train_split: str = "train2017"
    """Split to train on; a name that means the same will do."""
    val_split: str = "val2017"
    """Split to evaluate on; likewise."""
    val_fraction: float | None = None
    """Share of the training split's images to keep for evaluation, 0..1, in place of val_split; the
    same images each time."""
    val_list: Path | None = None
    """File with the names of the images to keep instead, one a line."""
    scale: tuple[int, int] = (1333, 800)
    """LONG SHORT side of the keep-ratio resize in evaluation, px."""
    flip: float = 0.5
    """Probability of the mirror image."""
    size: int = 1024
    """Side of the square images that are trained on, px."""
    jitter: tuple[float, float] = (0.1, 2.0)
    """Smallest and largest factor by which images, fitted into the square, are resized."""
    train_shorts: tuple[int, ...] = ()
    """Lengths of the short side to choose from instead of the jitter, px."""
    train_long: int = 2560
    """Largest long side then, px."""
    photometric: bool = False
    """Distort brightness, contrast, saturation and hue where `train_shorts` are given."""

    def __post_init__(self) -> None:
        _check_part(self.val_fraction, self.val_list)

    def check_root(self) -> None:
        """See `DataConfig`."""
        check_folder(self.root, flag="--data.root")


@dataclass(frozen=True, kw_only=True)
class ClassificationData(DataConfig):
    """Images in folders of their classes, and their augmentation (Microsoft's, as released)."""

    task: ClassVar[str] = "classification"
    ranges: ClassVar[Ranges] = {
        "size": LENGTHS,
        "area": (0, 1),
        "ratio": (1e-3, 1e3),
        "flip": (0, 1),
        "magnitude": (0, 10),
        "erasing": (0, 1),
        "mixup": (0, 1000),
        "cutmix": (0, 1000),
    }

    root: Path = Path("data/imagenet")
    """Folder with {split}/CLASS/*.jpg, or with CLASS/*.jpg."""
    train_split: str = "train"
    """Split to train on; a name that means the same will do."""
    val_split: str = "val"
    """Split to evaluate on; likewise."""
    val_fraction: float | None = None
    """Share of each class's images to keep for evaluation, 0..1, in data without a validation
    split; the same images each time."""
    val_list: Path | None = None
    """File with the paths of the images to keep instead, CLASS/NAME, one a line."""
    upright: bool = True
    """Turn images as their cameras say (EXIF)."""
    scale: tuple[int, int] = (256, 224)
    """RESIZE CROP in evaluation, px: the short side is resized, then the centre is cut out."""
    keep_ratio: bool = True
    """Keep the ratio of the sides in that resize; without, RESIZE is that of both."""
    size: int = 224
    """Side of the square images that are trained on, px."""
    area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of an image that is cut out for it."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width / height of that part."""
    flip: float = 0.5
    """Probability of the mirror image."""
    magnitude: int | None = 9
    """Magnitude of RandAugment's two operations, 0..10; None: none."""
    erasing: float = 0.25
    """Probability of a rectangle of noise in an image."""
    mixup: float = 0.8
    """Alpha of mixup, 0: none; with cutmix one of the two is drawn for each batch."""
    cutmix: float = 1.0
    """Alpha of cutmix, 0: none."""

    def __post_init__(self) -> None:
        _check_part(self.val_fraction, self.val_list)
        if self.scale[1] > self.scale[0]:
            raise ValueError(f"scale must be RESIZE and a CROP within it, got {self.scale}")
        for name in ("area", "ratio"):
            lowest, highest = getattr(self, name)
            if not 0 < lowest <= highest:
                raise ValueError(f"{name} must be positive and rise, got {lowest} and {highest}")

    def check_root(self) -> None:
        """See `DataConfig`."""
        check_folder(self.root, flag="--data.root")


def _check_part(val_fraction: float | None, val_list: Path | None) -> None:
    """See that at most one way to keep images for evaluation is given, and that it can be."""
    if val_fraction is not None and not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction must be between 0 and 1, got {val_fraction}")
    if val_fraction is not None and val_list is not None:
        raise ValueError("only one of val_fraction and val_list can be given, got both")
