"""Detection as the commands see it: COCO data, COCO scores, pictures of boxes and masks."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_masks
from torch import Tensor

from swin_dense.datasets.categories import COCO_CATEGORIES
from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.detection_folder import Part, open_detection_folder
from swin_dense.datasets.images import image_size
from swin_dense.datasets.masks import (
    CompressedMask,
    bitmaps_from_runs,
    compress_bitmaps,
    decompress,
)
from swin_dense.datasets.metrics.coco_eval import CocoEvaluator
from swin_dense.datasets.transforms.detection import detection_eval, detection_train
from swin_dense.heads.detection.targets import DetectionResult
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.files import atomic_write, make_file_writable
from swin_dense.tools.recipes.data import DataConfig, DetectionData
from swin_dense.tools.tasks.detection_scores import (
    SHOWN_SCORE,
    detection_score_name,
    detection_score_table,
    score_detections,
)
from swin_dense.tools.tasks.drawing import Picture, draw_detections, side_by_side
from swin_dense.tools.tasks.scores import ScoredImage, ScoreTable
from swin_dense.tools.tasks.task import Evaluation, Gather, Inference, Predictor, Sample


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluation(Inference):
    """Flags of `evaluate` for detectors."""

    results: Path | None = None
    """Detection: file for what was found, as COCO results (boxes and masks in one)."""
    format: str | None = None
    """Layout of the data folder; None: recognised from it."""
    val_fraction: float | None = None
    """Share of the images that were kept from training, 0..1: the same images as in training."""
    val_list: Path | None = None
    """File with the names of the images that were kept from training, one a line; None: those that
    the run of the weights kept."""

    def __post_init__(self) -> None:
        if self.results is not None:
            make_file_writable(self.results)


@dataclass(frozen=True, kw_only=True)
class DetectionPrediction(Inference):
    """Flags of `predict` for detectors."""

    score_threshold: float = 0.3
    """Detection: what scores less is left out, 0..1."""

    def __post_init__(self) -> None:
        if not 0 <= self.score_threshold <= 1:
            raise ValueError(f"--score-threshold must be in 0..1, got {self.score_threshold}")


class DetectionTask:
    """Data, scores and pictures of instance detection; the words of `tasks.Task`."""

    name = "detection"
    data_type: type[DataConfig] = DetectionData
    evaluation_flags: type[Inference] = DetectionEvaluation
    prediction_flags: type[Inference] = DetectionPrediction
    annotation_unit = "objects"

    def data_at(
        self, root: Path, *, split: str | None, flags: DetectionEvaluation
    ) -> DetectionData:
        """Data in a folder; without `split` its validation split, or all of it if it has none."""
        data = DetectionData(
            root=root,
            format=flags.format,
            val_fraction=flags.val_fraction,
            val_list=flags.val_list,
        )
        if _is_divided(data):
            return data if split is None else replace(data, train_split=split)
        if split is not None:
            return replace(data, val_split=split)
        return replace(data, val_split=_choose_validation_split(data, trains=False))

    def training_data(self, data: DetectionData, *, seed: int) -> CocoDetection:
        """The recipe's training split with its augmentation."""
        transforms = detection_train(
            long_side=data.train_long,
            short_sides=data.train_shorts,
            crop_short_sides=data.crop_shorts,
            crop_range=data.crop_range,
            flip=data.flip,
        )
        return CocoDetection(
            data.root,
            _choose_training_split(data),
            transforms=transforms,
            drop_empty=True,
            seed=seed,
            layout=data.format,
            part=_choose_part(data, is_for_validation=False),
        )

    def evaluation_data(
        self,
        data: DetectionData,
        *,
        scale: tuple[int, int] | None,
        model: Model | None = None,
    ) -> CocoDetection:
        """The split to evaluate on as it is, resized; it names its classes itself."""
        del model
        if _is_divided(data):
            split = _choose_training_split(data)
        else:
            split = _choose_validation_split(data, trains=True)
        return CocoDetection(
            data.root,
            split,
            transforms=detection_eval(scale or data.scale),
            layout=data.format,
            part=_choose_part(data, is_for_validation=True),
        )

    def aspect_ratios(self, dataset: CocoDetection) -> Sequence[float]:
        """Width / height of each image."""
        return dataset.aspect_ratios.tolist()

    def class_counts(self, sample: Sample, num_classes: int) -> NDArray[np.int64]:
        """`(K,)`: the sample's objects of each class."""
        return np.bincount(sample["labels"].numpy(), minlength=num_classes)

    def create_model(self, config: Any, dataset: CocoDetection) -> Model:
        """Detector with random weights for the data set's categories."""
        return create_model(
            config,
            num_classes=len(dataset.class_names),
            class_names=dataset.class_names,
            category_ids=dataset.category_ids,
        )

    def check_classes(self, model: Model, dataset: CocoDetection) -> None:
        """Raises as `match_classes`."""
        match_classes(model, dataset)

    def predictor(self, flags: Inference) -> Predictor:
        """Whole images, resized."""
        return Predictor(scale=flags.scale or DetectionData().scale, predict=_predict)

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        """`(H, W, 3)` uint8 to `(3, h, w)`."""
        no_points = np.zeros((0, 2), np.float32)
        transforms = detection_eval(scale or DetectionData().scale)
        resized = transforms(image=image, keypoints=no_points)["image"]
        return torch.from_numpy(resized).permute(2, 0, 1)

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: DetectionData
    ) -> tuple[ImageBatch, list[dict[str, Tensor]]]:
        """Batch and targets on the device; masks become bitmaps there."""
        del data
        images = batch_images([sample["image"] for sample in samples], device=device)
        targets = []
        for sample, size in zip(samples, images.sizes, strict=True):
            moved = {
                name: sample[name].to(device, non_blocking=True)
                for name in ("boxes", "labels", "mask_counts", "mask_num_runs")
            }
            masks = bitmaps_from_runs(moved["mask_counts"], moved["mask_num_runs"], size)
            targets.append({"boxes": moved["boxes"], "labels": moved["labels"], "masks": masks})
        return images, targets

    def evaluate(
        self,
        model: Model,
        dataset: CocoDetection,
        predictions: Iterable[tuple[list[Sample], list[dict[str, Tensor]]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """The 12 COCO numbers for boxes and for masks, and what is behind them."""
        labels = torch.tensor(match_classes(model, dataset))
        evaluator = CocoEvaluator(dataset)
        for samples, results in predictions:
            known = [_relabel(result, labels) for result in results]
            evaluator.update([sample["image_id"] for sample in samples], known)
        if gather is not None:
            parts = gather([(evaluator.detections, evaluator.seen)])
            evaluator = CocoEvaluator(dataset)
            for detections, seen in parts:
                evaluator.merge(detections, seen)
        return score_detections(evaluator, draw=partial(_draw_found, dataset, evaluator))

    def write_results(self, evaluation: Evaluation, flags: DetectionEvaluation) -> None:
        """A COCO results file, with `--results`."""
        if flags.results is not None and evaluation.write_results is not None:
            evaluation.write_results(flags.results)

    def writer(self, out: Path, model: Model, flags: DetectionPrediction) -> "DetectionWriter":
        """Writer of `predictions.json`."""
        path = out / "predictions.json"
        return DetectionWriter(path, model, score_threshold=flags.score_threshold)

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """COCO's 12 numbers for boxes and for masks."""
        return detection_score_table(metrics)

    def score_name(self, name: str) -> str:
        """`bbox/AP50` as `box AP50`."""
        return detection_score_name(name)

    def draw_beside_truth(
        self,
        dataset: CocoDetection,
        sample: Sample,
        result: dict[str, Tensor],
        model: Model,
    ) -> Picture:
        """Ground truth and the detections from a score of 0.3, in the original frame."""
        index = dataset.image_ids.index(sample["image_id"])
        return _draw(dataset, index, result, model.class_names or dataset.class_names)

    def draw_sample(self, dataset: CocoDetection, sample: Sample) -> Picture:
        """The sample's objects over its image."""
        image = sample["image"]
        size = (image.shape[1], image.shape[2])
        masks = bitmaps_from_runs(sample["mask_counts"], sample["mask_num_runs"], size)
        objects = {"boxes": sample["boxes"], "labels": sample["labels"], "masks": masks}
        return draw_detections(image, objects, dataset.class_names)


def match_classes(model: Model, dataset: CocoDetection) -> list[int]:
    """The data set's label for each label of a model.

    By name where the model knows its names, else in order. A class that the data does not have gets
    -1: its detections cannot be right or wrong there.

    Raises:
        ValueError: the data has a category that the model does not, or without names the numbers of
            classes differ.
    """
    names: tuple[str, ...] | None = model.class_names
    num_classes: int = model.config.num_classes
    if names is None:
        if num_classes != len(dataset.class_names):
            raise ValueError(
                f"a model without class names must have as many classes as the data, got "
                f"{num_classes} and {len(dataset.class_names)} categories"
            )
        return list(range(num_classes))
    if names == dataset.class_names:  # some files give two categories one name
        return list(range(num_classes))
    missing = [name for name in dataset.class_names if name not in names]
    if missing:
        raise ValueError(
            f"the model must know every category of the data, got {num_classes} classes for "
            f"{len(dataset.class_names)} categories; not known: {', '.join(missing[:5])}"
        )
    place = {name: label for label, name in enumerate(dataset.class_names)}
    return [place.get(name, -1) for name in names]


class DetectionWriter:
    """Collects detections and writes them as one COCO-format file.

    The file has `images`, `categories` and `annotations` with a `score` each, masks as compressed
    run lengths; pycocotools and every tool for COCO files reads it.

    Args:
        path: of the file.
        model: gives the class names and category ids.
        score_threshold: detections below it are left out.
    """

    def __init__(self, path: Path, model: Model, *, score_threshold: float) -> None:
        num_classes: int = model.config.num_classes
        self._path = path
        self._threshold = score_threshold
        names, ids = model.class_names, model.category_ids
        coco = tuple(COCO_CATEGORIES.values())
        if ids is None and (names == coco or (names is None and num_classes == len(coco))):
            # published files do not store ids, and the oldest no names; these are COCO's
            names, ids = coco, tuple(COCO_CATEGORIES)
        self._names = names or tuple(f"class {i}" for i in range(num_classes))
        self._ids = ids or tuple(range(1, num_classes + 1))
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, image: Tensor, result: dict[str, Tensor]) -> Picture:
        """Keep the detections of an image and draw them."""
        kept = {key: value[result["scores"] >= self._threshold] for key, value in result.items()}
        image_id = len(self._images) + 1
        self._images.append(
            {"id": image_id, "file_name": name, "height": image.shape[1], "width": image.shape[2]}
        )
        runs = compress_bitmaps(kept["masks"].cpu().numpy())
        columns = (kept[key].tolist() for key in ("boxes", "scores", "labels"))
        for (x1, y1, x2, y2), score, label, segmentation in zip(*columns, runs, strict=True):
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": self._ids[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": score,
                    "segmentation": segmentation | {"counts": segmentation["counts"].decode()},
                    "area": float(coco_masks.area(segmentation)),
                    "iscrowd": 0,
                }
            )
        return draw_detections(image, kept, self._names)

    def close(self) -> None:
        """Write the file, beside its final name and renamed."""
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(self._ids, self._names, strict=True)
        ]
        content = {
            "images": self._images,
            "categories": categories,
            "annotations": self._annotations,
        }
        atomic_write(self._path, json.dumps(content))


def _is_divided(data: DetectionData) -> bool:
    """Whether images of the training split are kept for evaluation."""
    return data.val_fraction is not None or data.val_list is not None


def _choose_part(data: DetectionData, *, is_for_validation: bool) -> Part | None:
    if not _is_divided(data):
        return None
    return Part(
        is_for_validation=is_for_validation,
        fraction=data.val_fraction,
        list_file=data.val_list,
    )


def _choose_training_split(data: DetectionData) -> str:
    folder = open_detection_folder(data.root, data.format)
    choose = folder.choose_split_to_divide if _is_divided(data) else folder.choose_training_split
    return choose(data.train_split, default=DetectionData.train_split)


def _choose_validation_split(data: DetectionData, *, trains: bool) -> str:
    folder = open_detection_folder(data.root, data.format)
    return folder.choose_validation_split(
        data.val_split, default=DetectionData.val_split, trains=trains
    )


def _predict(
    model: Model, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
) -> list[DetectionResult]:
    return model.predict(images, original_sizes=original_sizes)


def _relabel(result: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
    """The result with the data set's labels, without classes that the data set has not."""
    moved = labels.to(result["labels"].device)[result["labels"]]
    known = moved >= 0
    if bool(known.all()):
        return result | {"labels": moved}
    return {name: value[known] for name, value in (result | {"labels": moved}).items()}


def _draw_found(dataset: CocoDetection, evaluator: CocoEvaluator, image: ScoredImage) -> Picture:
    """Ground truth and detections of an image, which the evaluator keeps."""
    labels = {category_id: label for label, category_id in enumerate(dataset.category_ids)}
    found = [entry for entry in evaluator.detections if entry["image_id"] == image.image_id]
    index = dataset.image_ids.index(int(image.image_id))
    boxes = torch.tensor([entry["bbox"] for entry in found]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height -> xyxy
    result = {
        "boxes": boxes,
        "scores": torch.tensor([entry["score"] for entry in found]),
        "labels": torch.tensor([labels[entry["category_id"]] for entry in found]).long(),
        "masks": _bitmaps([entry["segmentation"] for entry in found], dataset.sizes[index]),
    }
    return _draw(dataset, index, result, dataset.class_names)


def _draw(
    dataset: CocoDetection, index: int, result: dict[str, Tensor], names: Sequence[str]
) -> Picture:
    pixels = dataset.load_image(index)  # (H, W, 3)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    size = image_size(pixels)
    truth = dataset.load_instances(index)
    annotated = {
        "boxes": torch.from_numpy(truth.boxes),
        "labels": torch.from_numpy(truth.labels),
        "masks": _bitmaps(truth.masks(size), size),
    }
    kept = {name: value[result["scores"] >= SHOWN_SCORE] for name, value in result.items()}
    pictures = [
        draw_detections(image, annotated, dataset.class_names),
        draw_detections(image, kept, names),
    ]
    return side_by_side(pictures, ["ground truth", "prediction"])


def _bitmaps(masks: Sequence[CompressedMask], size: tuple[int, int]) -> Tensor:
    """`(N, H, W)` bool."""
    if not masks:
        return torch.zeros(0, *size, dtype=torch.bool)
    return torch.from_numpy(decompress(masks))
