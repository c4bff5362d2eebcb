"""Classification as the commands see it: folders of classes, top-1 and top-5, pictures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swin_dense.datasets.formats.classification.image_folder import ImageFolder
from swin_dense.datasets.metrics.classification_eval import ClassificationEvaluator, top_labels
from swin_dense.datasets.transforms.classification import (
    EvaluationView,
    as_image,
    as_tensor,
    classification_train,
    erase_parts,
    mix_images,
)
from swin_dense.heads.classification.config import (
    ClassifierConfig,
    ViewConfig,
    published_view,
)
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.data import ClassificationData, DataConfig
from swin_dense.tools.task_flags import (
    ClassificationEvaluation,
    ClassificationInference,
    ClassificationPrediction,
    Inference,
)
from swin_dense.tools.tasks.classification.classification_scores import (
    classification_score_name,
    classification_score_table,
    score_classification,
)
from swin_dense.tools.tasks.classification.score_pictures import draw_label, draw_scores
from swin_dense.tools.tasks.classification.scores_writer import ScoresWriter
from swin_dense.tools.tasks.drawing import Picture
from swin_dense.tools.tasks.scores import KeptResults, ScoredImage, ScoreTable
from swin_dense.tools.tasks.task import Evaluation, Gather, Predictor, Sample

_NUM_SHOWN = 5  # scores in a picture
_BATCH_SIZE = 32  # images of one size, of which a single one is little work


class ClassificationTask:
    """Data, scores and pictures of image classification; the words of `tasks.Task`."""

    name = "classification"
    data_type: type[DataConfig] = ClassificationData
    evaluation_flags: type[Inference] = ClassificationEvaluation
    prediction_flags: type[Inference] = ClassificationPrediction
    annotation_unit = "labels"

    def data_at(
        self, root: Path, *, split: str | None, flags: ClassificationEvaluation
    ) -> ClassificationData:
        """Data in a folder."""
        data = ClassificationData(
            root=root,
            upright=flags.upright,
            val_fraction=flags.val_fraction,
            val_list=flags.val_list,
        )
        return data if split is None else replace(data, val_split=split)

    def training_data(self, data: ClassificationData, *, seed: int) -> "TrainingFolder":
        """The recipe's training split with its augmentation."""
        transforms = classification_train(
            size=data.size,
            area=data.area,
            ratio=data.ratio,
            flip=data.flip,
            magnitude=data.magnitude,
        )
        return TrainingFolder(
            data.root,
            data.train_split,
            transforms=transforms,
            upright=data.upright,
            val_fraction=data.val_fraction,
            val_list=data.val_list,
            seed=seed,
            view=ViewConfig(resize=data.scale[0], crop=data.scale[1], keep_ratio=data.keep_ratio),
        )

    def evaluation_data(
        self, data: ClassificationData, *, scale: ViewConfig | None, model: Model | None = None
    ) -> ImageFolder:
        """The split to evaluate on: the view of each image, labels as the model has them."""
        return ImageFolder(
            data.root,
            data.val_split,
            transforms=as_tensor if scale is None else _view(scale),
            class_names=None if model is None else model.class_names,
            upright=data.upright,
            val_fraction=data.val_fraction,
            val_list=data.val_list,
        )

    def aspect_ratios(self, dataset: ImageFolder) -> Sequence[float]:
        """All alike: what is trained on is square."""
        return [1.0] * len(dataset)

    def class_counts(self, sample: Sample, num_classes: int) -> NDArray[np.int64]:
        """`(K,)`: 1 for the sample's class."""
        return np.bincount([sample["label"]], minlength=num_classes)

    def create_model(self, config: Any, dataset: ImageFolder) -> Model:
        """Classifier with random weights for the data set's classes, with its view."""
        if isinstance(config, ClassifierConfig) and isinstance(dataset, TrainingFolder):
            config = replace(config, view=dataset.view)
        return create_model(
            config, num_classes=len(dataset.class_names), class_names=dataset.class_names
        )

    def check_classes(self, model: Model, dataset: ImageFolder) -> None:
        """Labels mean the same to both; the data set was opened with the model's names.

        Raises:
            ValueError: the numbers of classes differ.
        """
        num_classes, names = model.config.num_classes, dataset.class_names
        if num_classes != len(names):
            raise ValueError(
                f"the model and the data must have as many classes, got {num_classes} of the model "
                f"and {len(names)} of the data ({', '.join(names[:5])}, ...)"
            )

    def predictor(self, flags: Inference, model: Any = None) -> Predictor:
        """One view of an image: the flags', else the model's."""
        view = getattr(getattr(model, "config", None), "view", None) or ViewConfig()
        if isinstance(flags, ClassificationInference) and flags.protocol is not None:
            if model is None:
                raise ValueError("--protocol must have a model, got none")
            view = published_view(flags.protocol, model.config.backbone)
        if flags.scale is not None:
            view = replace(view, resize=flags.scale[0], crop=flags.scale[1])
        return Predictor(scale=view, predict=_predict, batch_size=_BATCH_SIZE)

    def resize(self, image: np.ndarray, scale: ViewConfig | None) -> Tensor:
        """`(H, W, 3)` uint8 to the view of it, `(3, h, w)`."""
        picture = as_image(image)
        return as_tensor(picture) if scale is None else _view(scale)(picture)

    def prepare(
        self, samples: Sequence[Sample], device: torch.device, *, data: ClassificationData
    ) -> tuple[ImageBatch, Tensor]:
        """Batch with parts erased and images mixed, and labels or shares of classes, on the device.

        What is drawn for them comes from torch's global source, which checkpoints keep.
        """
        batch = batch_images([sample["image"] for sample in samples], device, size_divisor=1)
        labels = torch.tensor([sample["label"] for sample in samples], device=device)
        pixels = batch.pixels
        if data.erasing > 0:
            pixels = erase_parts(pixels, probability=data.erasing)
        if not (data.mixup or data.cutmix):
            return replace(batch, pixels=pixels), labels
        num_classes = samples[0]["num_classes"]
        pixels, shares = mix_images(
            pixels, labels, num_classes=num_classes, mixup=data.mixup, cutmix=data.cutmix
        )
        return replace(batch, pixels=pixels), shares

    def evaluate(
        self,
        model: Model,
        dataset: ImageFolder,
        predictions: Iterable[tuple[list[Sample], list[Tensor]]],
        *,
        gather: Gather | None = None,
    ) -> Evaluation:
        """Top-1 and top-5, from whole counts; exact for any number of processes."""
        self.check_classes(model, dataset)
        evaluator = ClassificationEvaluator(len(dataset.class_names))
        places = {image_id: place for place, image_id in enumerate(dataset.image_ids)}
        kept = KeptResults()
        for samples, results in predictions:
            scores = [result.float().cpu() for result in results]
            found = evaluator.update(scores, [sample["label"] for sample in samples])
            for sample, result, score in zip(samples, scores, found, strict=True):
                image = ScoredImage(places[sample["image_id"]], sample["image_id"], score)
                kept.add(image, partial(_pack, result))
        images, packed = kept.images, kept.results
        if gather is not None:
            parts = gather([(evaluator.counts, evaluator.confusions, images, packed)])
            evaluator = ClassificationEvaluator(len(dataset.class_names))
            for counts, confusions, _, _ in parts:
                evaluator.merge(counts, confusions)
            images = [image for part in parts for image in part[2]]
            packed = {place: result for part in parts for place, result in part[3].items()}

        def draw(image: ScoredImage) -> Picture:
            return _draw(dataset, image.place, *packed[image.place])

        return score_classification(evaluator, dataset.class_names, images, draw)

    def write_results(self, evaluation: Evaluation, flags: Inference) -> None:
        """Nothing: `predict` writes scores."""

    def writer(self, out: Path, model: Model, flags: ClassificationPrediction) -> ScoresWriter:
        """Writer of `predictions.json`."""
        return ScoresWriter(out, model, top=flags.top)

    def score_table(self, metrics: Mapping[str, Any]) -> ScoreTable:
        """Top-1, top-5 and the mean over the classes."""
        return classification_score_table(metrics)

    def score_name(self, name: str) -> str:
        """`top1` as `top-1`."""
        return classification_score_name(name)

    def draw_beside_truth(
        self, dataset: ImageFolder, sample: Sample, result: Tensor, model: Model
    ) -> Picture:
        """The image, its class, and the highest scores."""
        index = dataset.image_ids.index(sample["image_id"])
        return _draw(dataset, index, *_pack(result.float().cpu()))

    def draw_sample(self, dataset: ImageFolder, sample: Sample) -> Picture:
        """The image as it is trained on, and its class."""
        image = sample["image"].permute(1, 2, 0).numpy()
        return draw_label(image, sample["label"], dataset.class_names)


class TrainingFolder(ImageFolder):
    """Images to train on, with what the model and the batch must know of the data.

    Attributes:
        view: of the images in evaluation.
    """

    def __init__(self, *arguments: Any, view: ViewConfig, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.view = view

    def __getitem__(self, key: int | tuple[int, int]) -> Any:
        """A sample with the number of classes, without which labels cannot be mixed."""
        return {**super().__getitem__(key), "num_classes": len(self.class_names)}


def _view(view: ViewConfig) -> EvaluationView:
    return EvaluationView(resize=view.resize, crop=view.crop, keep_ratio=view.keep_ratio)


def _predict(
    model: Model, images: Sequence[Tensor], original_sizes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    return model.predict(images, original_sizes=original_sizes)


def _pack(scores: Tensor) -> tuple[list[int], list[float]]:
    """Labels and values of the highest scores."""
    labels = top_labels(scores, _NUM_SHOWN)
    return labels, [float(scores[label]) for label in labels]


def _draw(
    dataset: ImageFolder, index: int, labels: Sequence[int], scores: Sequence[float]
) -> Picture:
    image = np.asarray(dataset.load_image(index))
    truth = int(dataset.labels[index])
    return draw_scores(image, labels, scores, dataset.class_names, truth=truth)
