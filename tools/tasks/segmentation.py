"""Segmentation as the commands see it: images and label maps, mIoU, pictures of label maps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from swin_dense.datasets.formats.segmentation.ade20k import Ade20k
from swin_dense.datasets.label_maps import IGNORED_LABEL
from swin_dense.datasets.metrics.semantic_eval import SemanticEvaluator
from swin_dense.datasets.transforms.panoptic import square_crops
from swin_dense.datasets.transforms.pipeline import Pipeline
from swin_dense.datasets.transforms.resizing import (
    fit_image,
    fit_multi_scale,
    multi_scale_views,
)
from swin_dense.datasets.transforms.segmentation import segmentation_eval, segmentation_train
from swin_dense.heads.mask2former.model import Mask2Former
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.segmentor import Segmentor
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.files import UniqueNames, atomic_write
from swin_dense.tools.printable import printable
from swin_dense.tools.recipes.data import DataConfig, PaddedData, SegmentationData
from swin_dense.tools.task_flags import Inference, SegmentationEvaluation, SegmentationInference
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.evaluation import released_scale
from swin_dense.tools.tasks.label_map_pictures import (
    chart_colours,
    class_areas,
    class_colours,
    class_names_of,
    draw_with_legend,
    draw_with_shares,
)
from swin_dense.tools.tasks.scores import KeptResults, ScoredImage, ScoreTable
from swin_dense.tools.tasks.segmentation_scores import (
    pack_labels,
    score_label_maps,
    segmentation_score_table,
    unpack_labels,
)
from swin_dense.tools.tasks.task import Evaluation, Gather, Predict, Predictor, Sample

_WINDOW = (512, 512)  # px, the published models' training crop


class SegmentationTask:
    """Data, scores and pictures of semantic segmentation; the words of `tasks.Task`."""

    name = "segmentation"
    data_type: type[DataConfig] = SegmentationData
    evaluation_flags: type[Inference] = SegmentationEvaluation
    prediction_flags: type[Inference] = SegmentationInference
    annotation_unit = "labelled pixels"

    def data_at(
        self, root: Path, *, split: str | None, flags: SegmentationEvaluation
    ) -> SegmentationData:
        """Data in a folder of any layout of label maps."""
        data = SegmentationData(
            root=root,
            reduce_zero_label=flags.reduce_zero_label,
            val_fraction=flags.val_fraction,
            val_list=flags.val_list,
        )
        return data if split is None else replace(data, val_split=split)

    def training_data(self, data: SegmentationData, *, seed: int) -> Ade20k:
        """The recipe's training split with its augmentation."""
        if isinstance(data, PaddedData):
            transforms = square_crops(
                size=data.crop,
                short_sides=data.train_shorts,
                long_side=data.train_long,
                flip=data.flip,
                photometric=data.photometric,
                mask_value=IGNORED_LABEL,
            )
        else:
            transforms = segmentation_train(
                scale=data.scale,
                ratios=data.ratios,
                crop=data.crop,
                cat_max_ratio=data.cat_max_ratio,
                flip=data.flip,
                photometric=data.photometric,
            )
        return _open(data, data.train_split, transforms, seed=seed)

    def evaluation_data(
        self,
        data: SegmentationData,
        *,
        scale: tuple[int, int] | None,
        model: Model | None = None,
    ) -> Ade20k:
        """The split to evaluate on: images resized, label maps as they are.

        The classes are those of the recipe, else of the root's list or its layout, else of the
        model.
        """
        names = None if model is None else class_names_of(model)
        return _open(data, data.val_split, _resizing(scale), default_names=names)

    def aspect_ratios(self, dataset: Ade20k) -> Sequence[float]:
        """All alike: crops have one shape."""
        return [1.0] * len(dataset)

    def class_counts(self, sample: Sample, num_classes: int) -> NDArray[np.int64]:
        """`(K,)`: the sample's pixels of each class; ignored ones are not counted."""
        return class_areas(sample["label_map"], num_classes)

    def create_model(self, config: Any, dataset: Ade20k) -> Model:
        """Segmentor with random weights for the data set's classes."""
        return create_model(
            config, num_classes=len(dataset.class_names), class_names=dataset.class_names
        )

    def check_classes(self, model: Model, dataset: Ade20k) -> None:
        """Labels mean the same to both.

        Raises:
            ValueError: the numbers of classes differ, or the same names come in another order.
        """
        num_classes, names = model.config.num_classes, dataset.class_names
        if num_classes != len(names):
            raise ValueError(
                f"the model and the data must have as many classes, got {num_classes} of the model "
                f"and {len(names)} of the data ({', '.join(names[:5])}, ...)"
            )
        if model.class_names is None or model.class_names == names:
            return
        if set(model.class_names) == set(names):
            place, (ours, theirs) = next(
                (place, pair)
                for place, pair in enumerate(zip(model.class_names, names, strict=True))
                if pair[0] != pair[1]
            )
            raise ValueError(
                "the data's class list must be in the model's order, got "
                f"{theirs!r} instead of {ours!r} for label {place}"
            )

    def predictor(self, flags: SegmentationInference, model: Any = None) -> Predictor:
        """Whole images, windows, or several scales with mirror images.

        Raises:
            ValueError: `crop` or `stride` without windows, or they leave gaps.
        """
        scale = released_scale(flags.scale or SegmentationData().scale, model)
        if flags.mode != "slide" and (flags.crop or flags.stride):
            flag = "crop" if flags.crop else "stride"
            raise ValueError(f"--{flag} is for --mode slide, got {flags.mode or 'whole'}")
        if flags.mode == "ms_flip":
            return Predictor(scale=None, predict=partial(_predict_multi_scale, scale=scale))
        if flags.mode != "slide":
            return Predictor(scale=scale, predict=_predict_whole)
        crop = flags.crop or _WINDOW
        stride = flags.stride or (max(1, crop[0] * 2 // 3), max(1, crop[1] * 2 // 3))
        if not all(1 <= step <= side for step, side in zip(stride, crop, strict=True)):
            raise ValueError(f"--stride must be in 1..--crop, got {stride} for crop {crop}")
        return Predictor(scale=scale, predict=_sliding(crop, stride))

    def resize(self, image: np.ndarray, scale: tuple[int, int] | None) -> Tensor:
        """`(H, W, 3)` uint8 to `(3, h, w)`."""
        return _as_tensor(_resizing(scale)(image=image)["image"])

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: SegmentationData
    ) -> tuple[ImageBatch, list[Tensor]]:
        """Batch, padded to the recipe's crop, and label maps on the device."""
        batch = batch_images([sample["image"] for sample in samples], device)
        height, width = batch.pixels.shape[-2:]
        missing = (0, max(0, data.crop[1] - width), 0, max(0, data.crop[0] - height))
        batch = replace(batch, pixels=F.pad(batch.pixels, missing))
        return batch, [sample["label_map"].to(device, non_blocking=True) for sample in samples]

    def evaluate(
        self,
        model: Model,
        dataset: Ade20k,
        predictions: Iterable[tuple[list[Sample], list[Tensor]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """Mean and per-class IoU, from whole counts; exact for any number of processes."""
        self.check_classes(model, dataset)
        device = next(model.parameters()).device
        evaluator = SemanticEvaluator(len(dataset.class_names), device=device)
        places = {image_id: place for place, image_id in enumerate(dataset.image_ids)}
        kept = KeptResults()
        for samples, results in predictions:
            scores = evaluator.update(results, [sample["label_map"] for sample in samples])
            for sample, result, score in zip(samples, results, scores, strict=True):
                image_id = sample["image_id"]
                image = ScoredImage(places[image_id], image_id, score)
                kept.add(image, partial(pack_labels, result))
        images, packed = kept.images, kept.results
        if gather is not None:
            parts = gather([(evaluator.matrix.cpu(), images, packed)])
            evaluator = SemanticEvaluator(len(dataset.class_names))
            for counts, _, _ in parts:
                evaluator.merge(counts)
            images = [image for _, others, _ in parts for image in others]
            packed = {place: labels for _, _, others in parts for place, labels in others.items()}

        def draw(image: ScoredImage) -> Picture:
            return _draw(dataset, image.place, unpack_labels(packed[image.place]), model)

        colours = chart_colours(
            dataset.class_names, class_colours(model.config.num_classes, dataset.colours)
        )
        return score_label_maps(evaluator, dataset.class_names, images, draw, colours=colours)

    def write_results(self, evaluation: Evaluation, flags: SegmentationEvaluation) -> None:
        """Nothing: `predict` writes label maps."""

    def writer(self, out: Path, model: Model, flags: SegmentationInference) -> "LabelMapWriter":
        """Writer of label maps."""
        del flags
        return LabelMapWriter(out, model)

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """Mean IoU, mean accuracy and the accuracy of all pixels."""
        return segmentation_score_table(metrics)

    def score_name(self, name: str) -> str:
        """The name as it is."""
        return name

    def draw_beside_truth(
        self, dataset: Ade20k, sample: Sample, result: Tensor, model: Model
    ) -> Picture:
        """Ground truth and prediction in the original frame, with the classes of both."""
        return _draw(dataset, dataset.image_ids.index(sample["image_id"]), result, model)

    def draw_sample(self, dataset: Ade20k, sample: Sample) -> Picture:
        """The sample's label map over its image, beside the image, and the classes."""
        image, names = sample["image"], dataset.class_names
        return draw_with_legend(
            image,
            [torch.full(image.shape[1:], IGNORED_LABEL), sample["label_map"]],
            ["image", "annotations"],
            class_names=names,
            colours=class_colours(len(names), dataset.colours),
        )


class LabelMapWriter:
    """Writes each label map as a PNG into `label_maps`, and the class names beside them.

    A PNG has one channel of uint8: the label, 0..K-1, which is the line of `classes.txt` counted
    from 0. ADE20K's files are one higher, their 0 being "ignored".

    Args:
        out: folder for `label_maps` and `classes.txt`.
        model: gives the class names.
    """

    def __init__(self, out: Path, model: Model) -> None:
        self._out = out
        self._class_names = class_names_of(model)
        self._colours = class_colours(model.config.num_classes)
        self._names = UniqueNames(out / "label_maps")

    def add(self, name: str, image: Tensor, result: Tensor) -> Picture:
        """Write the label map of an image and draw it with a legend."""
        path = self._names.claim(name, (".png",))
        labels = result.to(torch.uint8).cpu()
        partial_path = path.with_name(f".{path.stem}.partial.png")
        Image.fromarray(labels.numpy()).save(partial_path)
        partial_path.replace(path)
        return draw_with_shares(image, labels, self._class_names, self._colours)

    def close(self) -> None:
        """Write the class names, one a line in the order of the labels."""
        atomic_write(self._out / "classes.txt", "\n".join(map(printable, self._class_names)) + "\n")


def _open(
    data: SegmentationData,
    split: str,
    transforms: Pipeline,
    *,
    default_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Ade20k:
    """A split of a recipe's data."""
    return Ade20k(
        data.root,
        split,
        transforms=transforms,
        class_names=data.class_names or None,
        default_names=default_names,
        reduce_zero_label=data.reduce_zero_label,
        val_fraction=data.val_fraction,
        val_list=data.val_list,
        train_split=data.train_split,
        seed=seed,
    )


def _draw(dataset: Ade20k, index: int, result: Tensor, model: Model) -> Picture:
    return draw_with_legend(
        _as_tensor(dataset.load_image(index)),
        [torch.from_numpy(dataset.load_label_map(index)), result],
        ["ground truth", "prediction"],
        class_names=dataset.class_names,
        colours=class_colours(model.config.num_classes, dataset.colours),
    )


def _predict_whole(
    model: Model, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    return model.predict(images, original_sizes=original_sizes)


def _sliding(crop: tuple[int, int], stride: tuple[int, int]) -> Predict:
    def predict(
        model: Model, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        if not isinstance(model, Segmentor):
            raise ValueError(
                f"--mode slide must have a UPerNet or U-Net, got a {type(model).__name__}; "
                "it is published with --mode whole and ms_flip"
            )
        return model.predict(
            images, original_sizes=original_sizes, mode="slide", crop=crop, stride=stride
        )

    return predict


def _predict_multi_scale(
    model: Segmentor | Mask2Former,
    images: Sequence[Tensor],
    original_sizes: Sequence[tuple[int, int]],
    *,
    scale: tuple[int, int],
) -> list[Tensor]:
    """As the published scores: several ratios, each with its mirror image.

    UPerNet's are of the image's size, Mask2Former's of the resize by `scale`, and each view is made
    of the resized image, as the released code does.
    """
    results = []
    for image, size in zip(images, original_sizes, strict=True):
        pixels = image.permute(1, 2, 0).numpy()
        if isinstance(model, Mask2Former):
            views = fit_multi_scale(fit_image(pixels, scale), scale[1])
        else:
            views = multi_scale_views(pixels)
        results.append(
            model.predict_multi_scale([_as_tensor(view) for view in views], original_size=size)
        )
    return results


def _resizing(scale: tuple[int, int] | None) -> Pipeline:
    """The pipeline of evaluation; without a scale images stay as they are."""
    return Pipeline([]) if scale is None else segmentation_eval(scale)


def _as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)  # (3, H, W)
