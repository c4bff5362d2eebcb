"""Instances in COCO's form as a data set, from any layout of `formats.table`."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from swin_dense.datasets.formats.coco_entries import CocoImage
from swin_dense.datasets.formats.coco_file import CocoAnnotation, CocoFile
from swin_dense.datasets.formats.detection_folder import describe_split, open_detection_folder
from swin_dense.datasets.formats.parts import Part, describe_part
from swin_dense.datasets.images import image_size, read_image
from swin_dense.datasets.instances import Instances, InstanceStore, transform_instances
from swin_dense.datasets.masks import run_lengths
from swin_dense.datasets.samples import DetectionSample, Size, describe_left_out
from swin_dense.datasets.transforms.pipeline import Pipeline, seed_transforms

_SMALLEST_TRAINED = 32  # px; smaller images are dropped from training, as in the references


class CocoDetection(Dataset[DetectionSample]):
    """Images with instances from any COCO-format file.

    An item is asked for by its index, or by `(index, epoch)` as the samplers give it: whatever the
    transforms draw depends on seed, epoch and index alone.

    Not made into targets, and counted in `report`: crowds; boxes that are less than 1 px wide or
    high, have no annotated area, or lie outside the image (the rules of mmdetection); polygons of
    fewer than 3 points or far outside the image. An object without a usable mask is kept for its
    box.

    Attributes:
        annotation_file: the file read.
        class_names: one per label, in the order of the category ids.
        category_ids: the file's id of each label; ids may have gaps.
        image_ids: one per item.
        sizes: `(height, width)` of each original image, px.
        aspect_ratios: `(N,)` float64, width / height of each.
        report: counts of the objects and images left out, by kind.
        description: a line on layout, images, annotations a class, splits.
        split_name: of the split, with the part of it that this is.
        annotation_counts: of what the images are annotated with: "boxes", and "masks" of those.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        transforms: Pipeline,
        drop_empty: bool = False,
        with_masks: bool = True,
        seed: int = 0,
        layout: str | None = None,
        part: Part | None = None,
    ) -> None:
        """Read and check the index; no image is opened yet.

        Args:
            root: folder in a layout of `formats.table`.
            split: such as `val2017`.
            transforms: a pipeline of `transforms.detection`, or of `transforms.pipeline.compose`.
            drop_empty: drop images without a usable object and those under 32 px, as the references
                do for training; evaluation keeps every image.
            with_masks: false: the masks are left out, as nobody looks at them; samples are sooner
                made.
            seed: of all that the transforms draw.
            layout: name in `formats.table`; None: the one that the folder is recognised to have.
            part: of the split; None: all of it.

        Raises:
            FileNotFoundError: no such root or split; the splits that exist are named.
            ValueError: the file has faults, all named (see `coco_file.read_coco`); or no image is
                left; or `transforms` does not move points; or no or several layouts fit; or the
                layout must be converted first.
        """
        if "keypoints" not in transforms.processors:
            raise ValueError(
                "transforms must be made with transforms.pipeline.compose, to move masks along"
            )
        self._folder = open_detection_folder(root, layout)
        if not self._folder.layout.is_trained_on:
            raise ValueError(
                f"{root} is in {self._folder.layout.name}'s layout, which is converted first: "
                f"swin-dense convert {root} OUT --to coco"
            )
        self._split, self._part = split, part
        self.split_name = split + describe_part(part)
        self.transforms = transforms
        self.seed = seed
        coco, self.image_folder = self._folder.read(split, part)
        self.description = describe_split(self._folder, coco, split=split, part=part)
        self.annotation_file = coco.path
        self.class_names = tuple(category.name for category in coco.categories)
        self.category_ids = tuple(category.id for category in coco.categories)
        self.report: Counter[str] = Counter(coco.left_out)
        images, annotations = self._select(coco, drop_empty)
        self.image_ids = [image.id for image in images]
        self.file_names = [image.file_name for image in images]
        self.sizes = [image.size for image in images]
        self.aspect_ratios = np.array([size.width / size.height for size in self.sizes])
        self.annotation_counts = {
            "boxes": sum(map(len, annotations)),
            "masks": sum(kept.has_mask for of_image in annotations for kept in of_image),
        }
        labels = {category_id: label for label, category_id in enumerate(self.category_ids)}
        self._instances = InstanceStore(
            [_make_instances(of_image, labels, with_masks) for of_image in annotations]
        )

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key: int | tuple[int, int]) -> DetectionSample:
        """Read and transform one image and its objects.

        Raises:
            FileNotFoundError: the image file has disappeared.
            ValueError: it cannot be read, or has another size than its annotations state.
        """
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        original = self.load_image(index)
        seed_transforms(self.transforms, self.seed, epoch, index)
        image, instances, masks = transform_instances(
            self.transforms, original, self._instances[index]
        )
        mask_counts, mask_num_runs = run_lengths(masks)
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1),  # (3, H, W)
            "image_id": self.image_ids[index],
            "original_size": image_size(original),
            "boxes": torch.from_numpy(instances.boxes),
            "labels": torch.from_numpy(instances.labels),
            "mask_counts": mask_counts,
            "mask_num_runs": mask_num_runs,
            "has_mask": torch.from_numpy(instances.has_mask),
        }

    def load_image(self, index: int) -> np.ndarray:
        """The image as annotated: `(H, W, 3)` uint8 RGB. Raises as `__getitem__`."""
        path = self.image_folder / self.file_names[index]
        try:
            return read_image(path, stated_size=self.sizes[index])
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"{error} (image {self.image_ids[index]})") from error

    def load_instances(self, index: int) -> Instances:
        """The annotated objects in the original frame, without crowds."""
        return self._instances[index]

    @property
    def kept_images(self) -> tuple[str, ...]:
        """File names of a part that is kept for validation; empty for any other."""
        is_kept = self._part is not None and self._part.is_for_validation
        return tuple(self.file_names) if is_kept else ()

    def read_annotations(self) -> CocoFile:
        """Every annotation of the split, read again: an evaluation needs those left out, too."""
        return self._folder.read(self._split, self._part)[0]

    def _select(
        self, coco: CocoFile, drop_empty: bool
    ) -> tuple[list[CocoImage], list[list[CocoAnnotation]]]:
        """Keep the usable images and their objects, count the rest in `report`."""
        sizes = {image.id: image.size for image in coco.images}
        usable: defaultdict[int, list[CocoAnnotation]] = defaultdict(list)
        for annotation in coco.annotations:
            reason = _reason_to_skip(annotation, sizes[annotation.image_id])
            if reason:
                self.report[reason] += 1
            else:
                usable[annotation.image_id].append(annotation)
        images = []
        for image in coco.images:
            if drop_empty and not usable[image.id]:
                self.report["images without objects"] += 1
            elif drop_empty and min(image.size) < _SMALLEST_TRAINED:
                self.report[f"images under {_SMALLEST_TRAINED} px"] += 1
            else:
                images.append(image)
        if not images:
            raise ValueError(
                f"{self.annotation_file} must have an image with a usable object, got none of "
                f"{len(coco.images)}; left out were {describe_left_out(self.report)}"
            )
        return images, [usable[image.id] for image in images]


def _reason_to_skip(annotation: CocoAnnotation, size: Size) -> str | None:
    """The reason for which an annotation is no target; None for a good one."""
    x, y, width, height = annotation.box
    inside_width = max(0.0, min(x + width, size.width) - max(x, 0.0))
    inside_height = max(0.0, min(y + height, size.height) - max(y, 0.0))
    if annotation.is_crowd:
        return "crowds"
    if annotation.area <= 0 or width < 1 or height < 1:
        return "boxes without area"
    if inside_width * inside_height == 0:
        return "boxes outside the image"
    return None


def _make_instances(
    annotations: list[CocoAnnotation], labels: dict[int, int], with_masks: bool
) -> Instances:
    boxes = np.array([annotation.box for annotation in annotations]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height -> xyxy
    return Instances(
        boxes=boxes.astype(np.float32),
        labels=np.array([labels[annotation.category_id] for annotation in annotations], np.int64),
        polygons=[annotation.polygons if with_masks else [] for annotation in annotations],
        run_lengths={
            index: annotation.run_lengths
            for index, annotation in enumerate(annotations)
            if annotation.run_lengths is not None and with_masks
        },
    )
