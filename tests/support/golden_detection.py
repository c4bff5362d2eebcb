"""Comparison of a detector with a folder of reference outputs, shared by the tests of each model.

The folders hold a model that another framework trained, the photographs, and what that framework
computed from them; their README says how.
"""

import contextlib
import copy
import dataclasses
import io
import json
import tempfile
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from swin_dense.checkpoints.containers import read_checkpoint
from swin_dense.heads import create_model, from_checkpoint
from swin_dense.heads.detection.rpn import propose
from swin_dense.heads.detection.targets import DetectionResult, DetectionTarget
from swin_dense.heads.detection.two_stage import TwoStageDetector
from swin_dense.padding import ImageBatch, batch_images

LONG_SIDE, SHORT_SIDE = 512, 320  # px, the reference's keep-ratio resize


class PaddedTogether(ImageBatch):
    """A batch whose images are all padded to the largest, as the reference trained with."""

    @property
    def padded_sizes(self) -> tuple[tuple[int, int], ...]:
        """The same for all."""
        return ((self.pixels.shape[-2], self.pixels.shape[-1]),) * len(self)


class GoldenDetector:
    """One folder of reference outputs and the model in it.

    Args:
        folder: with `model.pth`, `intermediate.npz`, `losses.json`, results and `data`.
    """

    def __init__(self, folder: Path, model: TwoStageDetector | None = None) -> None:
        self.folder = folder
        self.model = from_checkpoint(folder / "model.pth") if model is None else model
        with contextlib.redirect_stdout(io.StringIO()):
            self.coco = COCO(str(folder / "data/annotations/instances_train2017.json"))
        self.image_ids = sorted(self.coco.getImgIds())
        self.category_ids = sorted(self.coco.getCatIds())
        with np.load(folder / "intermediate.npz") as arrays:
            self.intermediate = dict(arrays)

    def read_json(self, name: str) -> dict | list:
        """One of the folder's JSON files."""
        return json.loads((self.folder / name).read_text())

    def image(self, image_id: int) -> tuple[Tensor, tuple[int, int]]:
        """A photograph `(3, H, W)` resized as the reference does, and its size before that."""
        name = self.coco.imgs[image_id]["file_name"]
        pixels = cv2.imread(str(self.folder / "data/train2017" / name))
        height, width = pixels.shape[:2]
        scale = min(LONG_SIDE / max(height, width), SHORT_SIDE / min(height, width))
        size = int(width * scale + 0.5), int(height * scale + 0.5)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1), (height, width)

    def target(self, image_id: int) -> DetectionTarget:
        """The objects of a photograph; masks are rasterised before they are resized."""
        pixels, (height, width) = self.image(image_id)
        new_height, new_width = pixels.shape[1:]
        objects = self.coco.loadAnns(self.coco.getAnnIds(image_id))
        boxes, masks = [], []
        for item in objects:
            x, y, w, h = item["bbox"]
            boxes.append([x, y, x + w, y + h])
            bitmap = self.coco.annToMask(item)
            masks.append(cv2.resize(bitmap, (new_width, new_height), interpolation=0))
        # In float32, as the reference: the last bit decides which of several anchors overlaps most.
        factors = torch.tensor([new_width / width, new_height / height] * 2)
        scaled = torch.tensor(boxes) * factors
        limits = torch.tensor([new_width, new_height] * 2)
        return {
            "boxes": scaled.clamp(min=0).minimum(limits),
            "labels": torch.tensor([self.category_ids.index(o["category_id"]) for o in objects]),
            "masks": torch.from_numpy(np.stack(masks)),
        }

    @cached_property
    def results(self) -> dict[int, DetectionResult]:
        """Detections of the model on each image, in its original frame."""
        found = {}
        for image_id in self.image_ids:
            pixels, size = self.image(image_id)
            found[image_id] = self.model.predict([pixels], original_sizes=[size])[0]
        return found

    def without_mask_head(self) -> "GoldenDetector":
        """The same folder, with the model that the file is if its mask head is left out."""
        whole = read_checkpoint(self.folder / "model.pth").state
        kept = {key: value for key, value in whole.items() if "mask_head" not in key}
        assert len(kept) < len(whole)
        with tempfile.TemporaryDirectory() as folder:
            torch.save({"state_dict": kept}, Path(folder) / "model.pth")
            return GoldenDetector(self.folder, from_checkpoint(Path(folder) / "model.pth"))

    def without_sampling(self) -> TwoStageDetector:
        """The model, set to keep every positive and negative, as for the reference's losses."""
        config = self.model.config
        rpn = dataclasses.replace(
            config.rpn,
            num_samples=None,
            allowed_border=None,
            train_nms_pre=600,
            train_max_proposals=300,
        )
        box = dataclasses.replace(config.box, num_samples=None)
        model = create_model(dataclasses.replace(config, rpn=rpn, box=box))
        model.load_state_dict(self.model.state_dict())
        return model.eval()


def check_features(golden: GoldenDetector) -> None:
    """Input, backbone and pyramid to 1e-4 of the largest value, on the first two photographs."""
    for i, image_id in enumerate(golden.image_ids[:2]):
        batch = batch_images([golden.image(image_id)[0]])
        with torch.no_grad():
            stages = golden.model.backbone(batch.pixels)
            levels = golden.model.neck(stages)
        named = {"input0": batch.pixels}
        named |= {f"stage{k}": maps for k, maps in enumerate(stages)}
        named |= {f"fpn{k}": maps for k, maps in enumerate(levels)}
        for name, maps in named.items():
            expected = golden.intermediate[f"{i}/{name}/values"]
            assert tuple(maps.shape) == tuple(golden.intermediate[f"{i}/{name}/shape"])
            picked = maps.flatten()[torch.linspace(0, maps.numel() - 1, 64).long()].numpy()
            error = np.abs(picked - expected).max() / np.abs(expected).max()
            assert error < 1e-4, f"{name} of image {image_id}"


def check_proposals(golden: GoldenDetector) -> None:
    """Proposals one to one in order, boxes to 0.05 px, scores to 1e-4."""
    rpn = golden.model.config.rpn
    for i, image_id in enumerate(golden.image_ids[:2]):
        batch = batch_images([golden.image(image_id)[0]])
        with torch.no_grad():
            outputs = golden.model.rpn_head(golden.model.neck(golden.model.backbone(batch.pixels)))
        ((boxes, scores),) = propose(
            outputs,
            batch.sizes,
            nms_pre=rpn.test_nms_pre,
            max_proposals=rpn.test_max_proposals,
            nms_iou=rpn.nms_iou,
        )
        assert len(boxes) == golden.intermediate[f"{i}/proposals/count"]
        expected = golden.intermediate[f"{i}/proposals/boxes"]
        assert np.abs(boxes[: len(expected)].numpy() - expected).max() < 0.05
        expected = golden.intermediate[f"{i}/proposals/scores"]
        assert np.abs(scores[: len(expected)].numpy() - expected).max() < 1e-4


def check_detections(golden: GoldenDetector) -> None:
    """Detections one to one in order: boxes to 0.05 px, scores to 1e-4, masks but for edges."""
    expected: dict[int, list] = {image_id: [] for image_id in golden.image_ids}
    boxes, masks = golden.read_json("results.bbox.json"), golden.read_json("results.segm.json")
    for item, mask in zip(boxes, masks, strict=True):
        expected[item["image_id"]].append(item | {"segmentation": mask["segmentation"]})
    for image_id, found in golden.results.items():
        items = expected[image_id]
        assert len(found["scores"]) == len(items), f"image {image_id}"
        written = coco_results(golden, image_id, found)
        for ours, theirs in zip(written, items, strict=True):
            assert ours["category_id"] == theirs["category_id"]
            assert abs(ours["score"] - theirs["score"]) < 1e-4
            assert np.abs(np.subtract(ours["bbox"], theirs["bbox"])).max() < 0.05
            pair = [ours["segmentation"], theirs["segmentation"]]
            if rle.area(pair).any():
                # A pixel on an edge may fall to either side of one half.
                assert rle.iou(pair[:1], pair[1:], [0])[0, 0] > 0.998


def check_batch(golden: GoldenDetector, *, num_sizes: int) -> None:
    """Photographs of so many padded sizes, and one that shares one: each as it is found alone."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for image_id in golden.image_ids:
        (size,) = batch_images([golden.image(image_id)[0]]).padded_sizes
        by_size.setdefault(size, []).append(image_id)
    most = max(by_size.values(), key=len)
    image_ids = [of_size[0] for of_size in list(by_size.values())[:num_sizes]]
    image_ids.append(next(image_id for image_id in most if image_id not in image_ids))
    images, sizes = zip(*(golden.image(image_id) for image_id in image_ids), strict=True)
    results = golden.model.predict(images, original_sizes=sizes)
    for image_id, found in zip(image_ids, results, strict=True):
        alone = golden.results[image_id]
        assert found["labels"].tolist() == alone["labels"].tolist(), image_id
        torch.testing.assert_close(found["scores"], alone["scores"], rtol=0, atol=1e-4)
        torch.testing.assert_close(found["boxes"], alone["boxes"], rtol=0, atol=0.05)
        # A pixel on an edge may fall to either side of one half.
        assert (found["masks"] != alone["masks"]).sum() <= 2e-3 * alone["masks"].sum()


def check_boxes_and_scores(golden: GoldenDetector, plain: GoldenDetector) -> None:
    """Without a mask head the same detections to the bit, without masks."""
    assert not plain.model.gives_masks
    for image_id, expected in golden.results.items():
        found = plain.results[image_id]
        assert found.keys() == {"boxes", "scores", "labels"}
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def check_metrics(golden: GoldenDetector, *, kinds: tuple[str, ...] = ("bbox", "segm")) -> None:
    """All 24 COCO numbers, or the 12 of a kind, to 0.001."""
    written = []
    for image_id, found in golden.results.items():
        written += coco_results(golden, image_id, found)
    expected = golden.read_json("metrics.json")["pycocotools_stats"]
    for kind in kinds:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(golden.coco, golden.coco.loadRes(copy.deepcopy(written)), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        assert np.abs(evaluation.stats - np.array(expected[kind])).max() < 1e-3, kind


def check_losses(golden: GoldenDetector) -> None:
    """Each loss to 1e-3 and each module's gradient norm to 1e-2, on the first two photographs."""
    model = golden.without_sampling()
    image_ids = golden.image_ids[:2]
    batch = batch_images([golden.image(image_id)[0] for image_id in image_ids])
    together = PaddedTogether(batch.pixels, batch.sizes)
    losses = model(together, [golden.target(image_id) for image_id in image_ids])
    reference = golden.read_json("losses.json")
    expected = {name: v for name, v in reference["losses"].items() if not name.endswith("acc")}
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(np.sum(value), rel=1e-3), name
    sum(losses.values()).backward()
    for name, norm in reference["grad_norm"].items():
        prefix = name.replace("backbone.stages", "backbone.layers") + "."
        parameters = [p for key, p in model.named_parameters() if key.startswith(prefix)]
        ours = torch.stack([p.grad.norm() for p in parameters]).norm().item()
        assert ours == pytest.approx(norm, rel=1e-2), name


def coco_results(golden: GoldenDetector, image_id: int, found: DetectionResult) -> list[dict]:
    """Detections of one photograph as COCO results, a box and its mask, if any, in one entry."""
    entries = []
    for place, (x1, y1, x2, y2) in enumerate(found["boxes"].tolist()):
        entry = {
            "image_id": image_id,
            "category_id": golden.category_ids[found["labels"][place]],
            "score": found["scores"][place].item(),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        if "masks" in found:
            bitmap = found["masks"][place].numpy().astype(np.uint8)
            entry["segmentation"] = rle.encode(np.asfortranarray(bitmap))
        entries.append(entry)
    return entries
