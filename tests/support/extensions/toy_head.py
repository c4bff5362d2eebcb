"""A head from outside: queries that find boxes, as a whole model with its recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_convert

import swin_dense as sd
from extensions.toy_backbone import ToyConvNetConfig
from swin_dense.heads.eval_mode import in_eval_mode
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.data import DetectionData
from swin_dense.tools.recipes.optim import AdamWConfig, StepSchedule
from swin_dense.tools.recipes.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ToyQueriesConfig(sd.heads.ModelConfig):
    """Learned queries that look at the coarsest level, one object each (after DETR, 2020)."""

    num_classes: int = 80
    num_queries: int = 12
    channels: int = 32


class ToyQueries(sd.heads.Model):
    """A class and a box for each query; the mask is the whole box."""

    task: ClassVar[str] = "detection"
    class_layers: ClassVar[tuple[str, ...]] = ("classifier",)

    def __init__(self, config: ToyQueriesConfig, **options: Any) -> None:
        super().__init__(config, **options)
        self.projection = nn.Conv2d(self.pyramid.channels[-1], config.channels, 1)
        self.queries = nn.Parameter(torch.randn(config.num_queries, config.channels))
        self.attention = nn.MultiheadAttention(config.channels, 4, batch_first=True)
        self.classifier = nn.Linear(config.channels, config.num_classes + 1)  # background last
        self.box = nn.Linear(config.channels, 4)

    def forward(
        self, images: Sequence[Tensor] | ImageBatch, targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        batch = self._batch(images)
        logits, boxes = self._decode(batch)
        loss_cls, loss_bbox = [], []
        for image, target in enumerate(targets):
            gt_boxes, gt_labels = target["boxes"].to(boxes), target["labels"].to(boxes.device)
            gt_boxes = gt_boxes / _box_scale(batch.sizes[image]).to(boxes)
            cost = torch.cdist(boxes[image], gt_boxes, p=1)
            cost = cost - logits[image].softmax(1)[:, gt_labels]
            rows, columns = linear_sum_assignment(cost.detach().cpu())
            labels = torch.full((len(boxes[image]),), self.config.num_classes).to(gt_labels)
            labels[rows] = gt_labels[columns]
            loss_cls.append(F.cross_entropy(logits[image], labels))
            loss_bbox.append((boxes[image][rows] - gt_boxes[columns]).abs().sum() / len(labels))
        return {
            "loss_cls": torch.stack(loss_cls).mean(),
            "loss_bbox": torch.stack(loss_bbox).mean(),
        }

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[Tensor] | ImageBatch,
        *,
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> list[dict[str, Tensor]]:
        batch = self._batch(images)
        with in_eval_mode(self):
            all_logits, all_boxes = self._decode(batch)
        results = []
        for logits, boxes, size in zip(
            all_logits, all_boxes, original_sizes or batch.sizes, strict=True
        ):
            scores, labels = logits.softmax(1)[:, :-1].max(1)
            order = scores.argsort(descending=True)
            boxes = (boxes * _box_scale(size).to(boxes))[order]
            masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.round().int().tolist(), strict=True):
                mask[max(y1, 0) : y2, max(x1, 0) : x2] = True
            results.append(
                {"boxes": boxes, "scores": scores[order], "labels": labels[order], "masks": masks}
            )
        return results

    def _batch(self, images: Sequence[Tensor] | ImageBatch) -> ImageBatch:
        if not isinstance(images, ImageBatch):
            images = batch_images(images, self.queries.device)
        return images.to(self.queries.device, self.queries.dtype)

    def _decode(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Logits `(B, Q, K + 1)` and boxes `(B, Q, 4)`, xyxy in shares of the image."""
        maps = self.projection(self.backbone(batch.pixels)[-1])  # (B, C, H/32, W/32)
        memory = maps.flatten(2).transpose(1, 2)  # (B, H/32*W/32, C)
        queries = self.queries.expand(len(batch), -1, -1)  # (B, Q, C)
        decoded = queries + self.attention(queries, memory, memory, need_weights=False)[0]
        boxes = box_convert(self.box(decoded).sigmoid(), "cxcywh", "xyxy")
        return self.classifier(decoded).float(), boxes.float()


def _box_scale(size: tuple[int, int]) -> Tensor:
    return torch.tensor([size[1], size[0], size[1], size[0]])


def has_queries(state: Mapping[str, Tensor]) -> bool:
    """True if weights under our names are those of a ToyQueries."""
    return "queries" in state


def read_queries_config(
    state: Mapping[str, Tensor], released: ToyQueriesConfig
) -> ToyQueriesConfig:
    """The sizes that the weights tell; all else is the released config's."""
    num_queries, channels = state["queries"].shape
    num_classes = len(state["classifier.weight"]) - 1
    return replace(released, num_classes=num_classes, num_queries=num_queries, channels=channels)


QUERIES_SPEC = sd.heads.ModelSpec(
    name="toy_queries",
    config=ToyQueriesConfig,
    model=ToyQueries,
    variants={"toy_queries_swin_t": ToyQueriesConfig(backbone=sd.SWIN_VARIANTS["swin_t"])},
    fits=has_queries,
    read_config=read_queries_config,
)
QUERIES_RECIPE = Recipe(
    name="toy_queries",
    source="not published",
    model=ToyQueriesConfig(backbone=ToyConvNetConfig()),
    data=DetectionData(scale=(64, 64), train_shorts=(64,), train_long=64, crop_shorts=()),
    batch_size=2,
    steps=4,
    optimizer=AdamWConfig(lr=1e-3),
    schedule=StepSchedule(warmup_steps=1),
)
