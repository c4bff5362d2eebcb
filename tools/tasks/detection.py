"""Detection as the commands see it: COCO data, COCO scores, pictures of boxes and masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swin_dense.datasets.formats.coco import CocoDetection
from swin_dense.datasets.formats.detection_folder import open_detection_folder
from swin_dense.datasets.formats.parts import Part
from swin_dense.datasets.images import image_size
from swin_dense.datasets.masks import bitmaps_from_runs
from swin_dense.datasets.metrics.coco_eval import KINDS, CocoEvaluator
from swin_dense.datasets.transforms.detection import (
    detection_eval,
    detection_jitter,
    detection_train,
)
from swin_dense.datasets.transforms.pipeline import compose
from swin_dense.datasets.transforms.resizing import keep_ratio_size
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.data import DataConfig, DetectionData, JitteredData
from swin_dense.tools.task_flags import (
    DetectionEvaluation,
    DetectionInference,
    DetectionPrediction,
    Inference,
)
from swin_dense.tools.tasks.detection_scores import (
    SHOWN_SCORE,
    detection_score_name,
    detection_score_table,
    score_detections,
)
from swin_dense.tools.tasks.drawing import Picture, draw_detections, side_by_side
from swin_dense.tools.tasks.evaluation import released_scale
from swin_dense.tools.tasks.results.coco_writer import DetectionWriter
from swin_dense.tools.tasks.results.compact import keep_detections, predict_compactly
from swin_dense.tools.tasks.results.tiled import in_tiles
from swin_dense.tools.tasks.scores import ScoredImage, ScoreTable
from swin_dense.tools.tasks.task import Evaluation, Gather, Predict, Predictor, Sample


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
        if isinstance(data, JitteredData):
            transforms = detection_jitter(size=data.size, ratios=data.jitter, flip=data.flip)
        else:
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
            with_masks=data.with_masks,
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
        """The split to evaluate on, resized where there is a scale; it names its classes itself."""
        del model
        if _is_divided(data):
            split = _choose_training_split(data)
        else:
            split = _choose_validation_split(data, trains=True)
        transforms = compose([]) if scale is None else detection_eval(scale)
        return CocoDetection(
            data.root,
            split,
            transforms=transforms,
            with_masks=data.with_masks,
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

    def predictor(self, flags: Inference, model: Any = None) -> Predictor:
        """Whole images, resized, or tiles as well; masks as compressed run lengths."""
        threshold = flags.score_threshold if isinstance(flags, DetectionPrediction) else 0.0
        predict: Predict = partial(predict_compactly, score_threshold=threshold)
        scale = released_scale(flags.scale or DetectionData().scale, model)
        if not isinstance(flags, DetectionInference) or flags.tiles is None:
            return Predictor(scale=scale, predict=predict)
        tiled = in_tiles(
            predict,
            side=flags.tiles,
            overlap=flags.overlap,
            resize=partial(_fit_tensor, scale=scale),
            shrink=partial(_shrink, scale=flags.scale),
        )
        return Predictor(scale=None, predict=tiled)

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        """`(H, W, 3)` uint8 to `(3, h, w)`."""
        resized = image if scale is None else _fit(image, scale)
        return torch.from_numpy(resized).permute(2, 0, 1)

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: DetectionData
    ) -> tuple[ImageBatch, list[dict[str, Tensor]]]:
        """Batch and targets on the device; masks, if they are read, become bitmaps there."""
        images = batch_images([sample["image"] for sample in samples], device=device)
        targets = []
        for sample, size in zip(samples, images.sizes, strict=True):
            moved = {
                name: sample[name].to(device, non_blocking=True)
                for name in ("boxes", "labels", "mask_counts", "mask_num_runs")
            }
            target = {"boxes": moved["boxes"], "labels": moved["labels"]}
            if data.with_masks:
                runs = (moved["mask_counts"], moved["mask_num_runs"])
                target["masks"] = bitmaps_from_runs(*runs, size)
                has_mask = sample["has_mask"]  # of the sample: it is on the CPU
                if isinstance(data, JitteredData):  # as released: what was cut away is no object
                    has_mask = has_mask & (sample["mask_num_runs"] > 1)
                if not bool(has_mask.all()):
                    target["has_mask"] = has_mask.to(device, non_blocking=True)
            targets.append(target)
        return images, targets

    def evaluate(
        self,
        model: Model,
        dataset: CocoDetection,
        predictions: Iterable[tuple[list[Sample], list[dict[str, Any]]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """The 12 COCO numbers for boxes and for masks, and what is behind them.

        Those for masks where the model gives some and the data has some.
        """
        labels = torch.tensor(match_classes(model, dataset))
        evaluator = CocoEvaluator(dataset)
        gives_masks = False
        for samples, results in predictions:
            known = [_relabel(result, labels) for result in results]
            gives_masks |= any("masks" in result for result in results)
            evaluator.update([sample["image_id"] for sample in samples], known)
        if gather is not None:
            parts = gather([(evaluator.detections, evaluator.seen, gives_masks)])
            evaluator = CocoEvaluator(dataset)
            for detections, seen, others_give_masks in parts:
                evaluator.merge(detections, seen)
                gives_masks |= others_give_masks
        return score_detections(
            evaluator,
            draw=partial(_draw_found, dataset, evaluator),
            kinds=KINDS if gives_masks and evaluator.has_masks else ("bbox",),
        )

    def write_results(self, evaluation: Evaluation, flags: DetectionEvaluation) -> None:
        """A COCO results file, with `--results`."""
        if flags.results is not None and evaluation.write_results is not None:
            evaluation.write_results(flags.results)

    def writer(self, out: Path, model: Model, flags: DetectionPrediction) -> "DetectionWriter":
        """Writer of `predictions.json`."""
        path = out / "predictions.json"
        return DetectionWriter(path, model, score_threshold=flags.score_threshold)

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """COCO's 12 numbers for boxes, and for masks where there are some."""
        return detection_score_table(metrics)

    def score_name(self, name: str) -> str:
        """`bbox/AP50` as `box AP50`."""
        return detection_score_name(name)

    def draw_beside_truth(
        self,
        dataset: CocoDetection,
        sample: Sample,
        result: dict[str, Any],
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


def _is_divided(data: DetectionData) -> bool:
    """Tell whether images of the training split are kept for evaluation."""
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


def _relabel(result: dict[str, Any], labels: Tensor) -> dict[str, Any]:
    """The result with the data set's labels, without classes that the data set has not."""
    moved = labels.to(result["labels"].device)[result["labels"]]
    known = moved >= 0
    if bool(known.all()):
        return result | {"labels": moved}
    return keep_detections(result | {"labels": moved}, known)


def _draw_found(dataset: CocoDetection, evaluator: CocoEvaluator, image: ScoredImage) -> Picture:
    """Ground truth and detections of an image, which the evaluator keeps."""
    labels = {category_id: label for label, category_id in enumerate(dataset.category_ids)}
    found = [entry for entry in evaluator.detections if entry["image_id"] == image.image_id]
    index = dataset.image_ids.index(int(image.image_id))
    boxes = torch.tensor([entry["bbox"] for entry in found]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]  # x, y, width, height -> xyxy
    result: dict[str, Any] = {
        "boxes": boxes,
        "scores": torch.tensor([entry["score"] for entry in found]),
        "labels": torch.tensor([labels[entry["category_id"]] for entry in found]).long(),
    }
    masks = [entry["segmentation"] for entry in found if "segmentation" in entry]
    if masks:
        result["masks"] = masks
    return _draw(dataset, index, result, dataset.class_names)


def _draw(
    dataset: CocoDetection, index: int, result: dict[str, Any], names: Sequence[str]
) -> Picture:
    pixels = dataset.load_image(index)  # (H, W, 3)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    truth = dataset.load_instances(index)
    annotated: dict[str, Any] = {
        "boxes": torch.from_numpy(truth.boxes),
        "labels": torch.from_numpy(truth.labels),
    }
    if truth.has_mask.any():
        annotated["masks"] = truth.masks(image_size(pixels))
    kept = keep_detections(result, result["scores"] >= SHOWN_SCORE)
    pictures = [
        draw_detections(image, annotated, dataset.class_names),
        draw_detections(image, kept, names),
    ]
    return side_by_side(pictures, ["ground truth", "prediction"])


def _fit(image: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    """`(H, W, 3)` uint8, resized as in evaluation."""
    no_points = np.zeros((0, 2), np.float32)
    resized: np.ndarray = detection_eval(scale)(image=image, keypoints=no_points)["image"]
    return resized


def _fit_tensor(image: Tensor, *, scale: tuple[int, int]) -> Tensor:
    """The same of `(3, H, W)` uint8."""
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    return torch.from_numpy(_fit(pixels, scale)).permute(2, 0, 1)


def _shrink(image: Tensor, *, scale: tuple[int, int] | None) -> Tensor:
    """The same where the image is larger than the scale; else it stays as it is."""
    size = (image.shape[1], image.shape[2])
    if scale is None or keep_ratio_size(size, scale) >= size:
        return image
    return _fit_tensor(image, scale=scale)
