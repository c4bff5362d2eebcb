"""Panoptic segmentation as the commands see it: COCO's panoptic data, PQ, pictures of segments."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swin_dense.datasets.formats.panoptic.coco_panoptic import CocoPanoptic
from swin_dense.datasets.formats.panoptic.panoptic_layout import find_split_to_divide
from swin_dense.datasets.formats.parts import Part
from swin_dense.datasets.metrics.panoptic_eval import (
    PanopticEvaluator,
    SegmentMap,
    image_quality,
)
from swin_dense.datasets.samples import Segment
from swin_dense.datasets.transforms.panoptic import panoptic_eval, panoptic_jitter, square_crops
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.datasets.transforms.resizing import fit_image
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.data import DataConfig, PanopticData
from swin_dense.tools.task_flags import Inference, PanopticEvaluation, PanopticInference
from swin_dense.tools.tasks.drawing import Picture, side_by_side
from swin_dense.tools.tasks.evaluation import released_scale
from swin_dense.tools.tasks.panoptic.panoptic_pictures import draw_segments, segment_colours
from swin_dense.tools.tasks.panoptic.panoptic_results import PackedSegments, write_panoptic
from swin_dense.tools.tasks.panoptic.panoptic_scores import (
    add_confusions,
    panoptic_score_name,
    panoptic_score_table,
    score_panoptic,
)
from swin_dense.tools.tasks.panoptic.panoptic_writer import PanopticWriter
from swin_dense.tools.tasks.scores import ScoredImage, ScoreTable
from swin_dense.tools.tasks.task import Evaluation, Gather, Predictor, Sample


class PanopticTask:
    """Data, scores and pictures of panoptic segmentation; the words of `tasks.Task`."""

    name = "panoptic"
    data_type: type[DataConfig] = PanopticData
    evaluation_flags: type[Inference] = PanopticEvaluation
    prediction_flags: type[Inference] = PanopticInference
    annotation_unit = "segments"

    def data_at(self, root: Path, *, split: str | None, flags: Inference) -> PanopticData:
        """Data in a folder; `flags` are `PanopticEvaluation`, of exports `PanopticInference`."""
        data = PanopticData(
            root=root,
            val_fraction=getattr(flags, "val_fraction", None),
            val_list=getattr(flags, "val_list", None),
        )
        if split is None:
            return data
        if _is_divided(data):
            return replace(data, train_split=split)
        return replace(data, val_split=split)

    def training_data(self, data: PanopticData, *, seed: int) -> CocoPanoptic:
        """The recipe's training split with its augmentation."""
        if data.train_shorts:
            transforms = square_crops(
                size=data.size,
                short_sides=data.train_shorts,
                long_side=data.train_long,
                flip=data.flip,
                photometric=data.photometric,
            )
        else:
            transforms = panoptic_jitter(size=data.size, ratios=data.jitter, flip=data.flip)
        return _open(data, transforms, is_for_validation=False, seed=seed)

    def evaluation_data(
        self, data: PanopticData, *, scale: tuple[int, int] | None, model: Model | None = None
    ) -> CocoPanoptic:
        """The split to evaluate on: images resized, segments as they are."""
        del model
        transforms = Pipeline([]) if scale is None else panoptic_eval(scale)
        return _open(data, transforms, is_for_validation=True)

    def aspect_ratios(self, dataset: CocoPanoptic) -> Sequence[float]:
        """All alike: what is trained on is square."""
        return [1.0] * len(dataset)

    def class_counts(self, sample: Sample, num_classes: int) -> NDArray[np.int64]:
        """`(K,)`: the sample's segments of each class, without crowds and what was cut away."""
        visible = np.unique(sample["segment_map"].numpy())
        places = visible[visible > 0] - 1
        labels = sample["labels"].numpy()[places][~sample["is_crowd"].numpy()[places]]
        return np.bincount(labels, minlength=num_classes)

    def create_model(self, config: Any, dataset: CocoPanoptic) -> Model:
        """Model with random weights for the data set's categories, things and stuff.

        Raises:
            ValueError: the config is of a model for another task.
        """
        if isinstance(config, Mask2FormerConfig):
            if config.task != "panoptic":
                raise ValueError(f"model.task must be panoptic for such data, got {config.task}")
            stuff = tuple(i for i, is_thing in enumerate(dataset.is_thing) if not is_thing)
            config = replace(config, stuff_classes=stuff)
        return create_model(
            config,
            num_classes=len(dataset.class_names),
            class_names=dataset.class_names,
            category_ids=dataset.category_ids,
        )

    def check_classes(self, model: Model, dataset: CocoPanoptic) -> None:
        """Labels mean the same to both.

        Raises:
            ValueError: the numbers of classes differ, or the same names come in another order.
        """
        names, num_classes = model.class_names, model.config.num_classes
        if num_classes != len(dataset.class_names):
            raise ValueError(
                f"the model and the data must have as many classes, got {num_classes} of the model "
                f"and {len(dataset.class_names)} of the data"
            )
        if names is not None and names != dataset.class_names:
            if set(names) != set(dataset.class_names):
                return  # other words for the same classes
            pairs = zip(names, dataset.class_names, strict=True)
            place, (one, other) = next(
                (i, pair) for i, pair in enumerate(pairs) if len({*pair}) > 1
            )
            raise ValueError(
                f"the data's categories must be in the model's order, got {other!r} instead of "
                f"{one!r} for label {place}"
            )

    def predictor(self, flags: Inference, model: Any = None) -> Predictor:
        """Whole images, resized."""
        scale = released_scale(flags.scale or PanopticData().scale, model)
        return Predictor(scale=scale, predict=_predict)

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        """`(H, W, 3)` uint8 to `(3, h, w)`."""
        return torch.from_numpy(fit_image(image, scale)).permute(2, 0, 1)

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: PanopticData
    ) -> tuple[ImageBatch, list[dict[str, Tensor]]]:
        """Batch, and labels and masks of the segments, on the device.

        Crowds are left out. A segment that was cropped away has an empty mask, as released.
        """
        del data
        images = batch_images([sample["image"] for sample in samples], device)
        targets = []
        for sample in samples:
            places = (~sample["is_crowd"]).nonzero().flatten()  # (G,) on the CPU
            numbers = (places + 1).to(device, torch.int32, non_blocking=True)
            segment_map = sample["segment_map"].to(device, non_blocking=True)
            targets.append(
                {
                    "labels": sample["labels"][places].to(device, non_blocking=True),
                    "masks": segment_map == numbers[:, None, None],  # (G, H, W)
                }
            )
        return images, targets

    def evaluate(
        self,
        model: Model,
        dataset: CocoPanoptic,
        predictions: Iterable[tuple[list[Sample], list[dict[str, Any]]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """PQ, SQ and RQ, of all classes and of each."""
        self.check_classes(model, dataset)
        evaluator = PanopticEvaluator(dataset.is_thing)
        matrix = np.zeros((len(dataset.class_names) + 1,) * 2, np.int64)
        places = {image_id: place for place, image_id in enumerate(dataset.image_ids)}
        images = list[ScoredImage]()
        packed = dict[int, PackedSegments]()
        for samples, results in predictions:
            for sample, result in zip(samples, results, strict=True):
                image_id = sample["image_id"]
                found = _as_map(result)
                counts = evaluator.update(_truth(sample), found, where=image_id)
                add_confusions(matrix, counts)
                images.append(ScoredImage(places[image_id], image_id, image_quality(counts)))
                packed[places[image_id]] = PackedSegments.of(result)
        if gather is not None:
            parts = gather([(evaluator.iou, evaluator.counts, matrix, images, packed)])
            evaluator = PanopticEvaluator(dataset.is_thing)
            for iou, numbers, *_ in parts:
                evaluator.merge(iou, numbers)
            matrix = sum((part[2] for part in parts[1:]), parts[0][2])
            images = [image for part in parts for image in part[3]]
            packed = {place: found for part in parts for place, found in part[4].items()}

        def draw(image: ScoredImage) -> Picture:
            return _draw(dataset, image.place, packed[image.place].unpack())

        evaluation = score_panoptic(
            evaluator,
            matrix,
            dataset.class_names,
            images,
            draw,
            colours=segment_colours(len(dataset.class_names), dataset.colours),
        )
        return replace(evaluation, write_results=partial(write_panoptic, dataset, packed))

    def write_results(self, evaluation: Evaluation, flags: Inference) -> None:
        """COCO's panoptic JSON and its PNGs, with `--results`."""
        path = getattr(flags, "results", None)
        if path is not None and evaluation.write_results is not None:
            evaluation.write_results(path)

    def writer(self, out: Path, model: Model, flags: Inference) -> PanopticWriter:
        """Writer of `predictions.json` and its PNGs."""
        del flags
        return PanopticWriter(out, model)

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """PQ, SQ and RQ of all classes, of things and of stuff."""
        return panoptic_score_table(metrics)

    def score_name(self, name: str) -> str:
        """`PQ_things` as `PQ of things`."""
        return panoptic_score_name(name)

    def draw_beside_truth(
        self, dataset: CocoPanoptic, sample: Sample, result: dict[str, Any], model: Model
    ) -> Picture:
        """Ground truth and prediction in the original frame."""
        del model
        return _draw(dataset, dataset.image_ids.index(sample["image_id"]), _as_map(result))

    def draw_sample(self, dataset: CocoPanoptic, sample: Sample) -> Picture:
        """The sample's segments over its image."""
        truth = _truth(sample)
        return _draw_map(dataset, sample["image"], truth)


def _is_divided(data: PanopticData) -> bool:
    """Tell whether images of the training split are kept for evaluation."""
    return data.val_fraction is not None or data.val_list is not None


def _open(
    data: PanopticData, transforms: Pipeline, *, is_for_validation: bool, seed: int = 0
) -> CocoPanoptic:
    """The split to train or to evaluate on, or the part for it."""
    split, part = data.val_split if is_for_validation else data.train_split, None
    if _is_divided(data):
        split = find_split_to_divide(data.root, data.train_split)
        part = Part(
            is_for_validation=is_for_validation,
            fraction=data.val_fraction,
            list_file=data.val_list,
        )
    return CocoPanoptic(data.root, split, transforms=transforms, seed=seed, part=part)


def _predict(
    model: Model, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    return model.predict(images, original_sizes=original_sizes)


def _as_map(result: Mapping[str, Any]) -> SegmentMap:
    """A model's result."""
    segments = [Segment(segment["id"], segment["label"]) for segment in result["segments"]]
    return SegmentMap(result["panoptic"].cpu().numpy(), segments)


def _truth(sample: Sample) -> SegmentMap:
    """A sample's segments; their ids are their places."""
    columns = (sample[name].tolist() for name in ("labels", "areas", "is_crowd"))
    rows = zip(*columns, strict=True)
    segments = [Segment(place, *values) for place, values in enumerate(rows, start=1)]
    return SegmentMap(sample["segment_map"].numpy(), segments)


def _draw(dataset: CocoPanoptic, index: int, found: SegmentMap) -> Picture:
    image = torch.from_numpy(dataset.load_image(index)).permute(2, 0, 1)
    truth = SegmentMap(*dataset.load_segments(index))
    pictures = [_draw_map(dataset, image, truth), _draw_map(dataset, image, found)]
    return side_by_side(pictures, ["ground truth", "prediction"])


def _draw_map(dataset: CocoPanoptic, image: Tensor, segments: SegmentMap) -> Picture:
    return draw_segments(
        image,
        segments.ids,
        segments.segments,
        class_names=dataset.class_names,
        is_thing=dataset.is_thing,
        colours=segment_colours(len(dataset.class_names), dataset.colours),
    )
