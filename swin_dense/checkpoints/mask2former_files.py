"""Meta's Mask2Former files with Swin backbones: tasks, scores and places (MODEL_ZOO.md).

Sizes are our models', backbones that were pre-trained on ImageNet-22K say so.
"""

import re
from dataclasses import dataclass

ADDRESS = "https://dl.fbaipublicfiles.com/maskformer/mask2former"
LICENCE = "CC BY-NC 4.0 (Mask2Former's model zoo): not for commercial use"
# Names of the same weights on the Hugging Face hub.
HUB_COPIES = re.compile(
    r"mask2former-swin-(?:tiny|small|base|base-IN21k|large)-"
    r"(?:coco|ade|cityscapes|mapillary-vistas)-(?:instance|semantic|panoptic)"
)


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        data: data set, as the address has it.
        task: instance, semantic or panoptic.
        size: t, s, b or l.
        folder: of the address.
        digits: of the file's name, the beginning of its MD5.
        classes: number of classes K.
        parameters: millions.
        scores: as published, in percent.
    """

    data: str
    task: str
    size: str
    folder: str
    digits: str
    classes: int
    parameters: float
    scores: dict[str, float]

    @property
    def is_22k(self) -> bool:
        """True if the backbone was pre-trained on ImageNet-22K."""
        return "IN21k" in self.folder

    @property
    def name(self) -> str:
        """Name here."""
        pretrained = "_22k" if self.is_22k and self.size == "b" else ""
        return f"mask2former_swin_{self.size}{pretrained}_{self.data}_{self.task}"

    @property
    def recipe(self) -> str | None:
        """Name of the recipe that made it, where that is one of ours."""
        if self.data == "coco":
            return f"{self.name}_{100 if self.size == 'l' else 50}e"
        is_ours = self.data == "ade20k" and self.task != "instance"
        return f"{self.name}_160k" if is_ours else None

    @property
    def url(self) -> str:
        """Address."""
        return f"{ADDRESS}/{self.data}/{self.task}/{self.folder}/model_final_{self.digits}.pkl"


_T, _S = "maskformer2_swin_tiny_bs16", "maskformer2_swin_small_bs16"
_B, _B22, _L = (
    f"maskformer2_swin_{name}_384_bs16" for name in ("base", "base_IN21k", "large_IN21k")
)
_MILLIONS = {"t": 47.4, "s": 68.7, "b": 106.9, "l": 215.5}


def _panoptic(
    size: str,
    folder: str,
    digits: str,
    pq: float,
    things: float,
    stuff: float,
    ap: float,
    iou: float,
) -> Row:
    scores = {"PQ": pq, "PQ (things)": things, "PQ (stuff)": stuff, "mask AP": ap, "mIoU": iou}
    return Row("coco", "panoptic", size, folder, digits, 133, _MILLIONS[size], scores)


def _instance(size: str, folder: str, digits: str, ap: float) -> Row:
    return Row("coco", "instance", size, folder, digits, 80, _MILLIONS[size], {"mask AP": ap})


def _semantic(size: str, folder: str, digits: str, single: float, several: float) -> Row:
    scores = {"mIoU": single, "mIoU (ms+flip)": several}
    return Row("ade20k", "semantic", size, folder, digits, 150, _MILLIONS[size], scores)


def _cityscapes(task: str, size: str, digits: str, scores: dict[str, float]) -> Row:
    word = {"t": "tiny", "s": "small", "b": "base_IN21k_384", "l": "large_IN21k_384"}[size]
    folder = f"maskformer2_swin_{word}_bs16_90k"
    classes = 8 if task == "instance" else 19
    return Row("cityscapes", task, size, folder, digits, classes, _MILLIONS[size], scores)


MASK2FORMER_FILES: tuple[Row, ...] = (
    _panoptic("t", f"{_T}_50ep", "9fd0ae", 53.2, 59.3, 44.0, 43.3, 63.2),
    _panoptic("s", f"{_S}_50ep", "a407fd", 54.6, 60.6, 45.7, 44.7, 64.2),
    _panoptic("b", f"{_B}_50ep", "9d7f02", 55.1, 61.0, 46.1, 45.2, 65.1),
    _panoptic("b", f"{_B22}_50ep", "54b88a", 56.4, 62.4, 47.3, 46.3, 67.1),
    _panoptic("l", f"{_L}_100ep", "f07440", 57.8, 64.2, 48.1, 48.6, 67.4),
    _instance("t", f"{_T}_50ep", "86143f", 45.0),
    _instance("s", f"{_S}_50ep", "1e7f22", 46.3),
    _instance("b", f"{_B}_50ep", "f6e0f6", 46.7),
    _instance("b", f"{_B22}_50ep", "83d103", 48.1),
    _instance("l", f"{_L}_100ep", "e5f453", 50.1),
    _semantic("t", f"{_T}_160k", "5274a6", 47.7, 49.6),
    _semantic("s", f"{_S}_160k", "011c6d", 51.3, 52.4),
    _semantic("b", f"{_B}_160k_res640", "503e96", 52.4, 53.7),
    _semantic("b", f"{_B22}_160k_res640", "7e47bf", 53.9, 55.1),
    _semantic("l", f"{_L}_160k_res640", "6b4a3a", 56.1, 57.3),
    Row(
        *("ade20k", "panoptic", "l", f"{_L}_160k", "e0c58e", 150, 215.5),
        {"PQ": 48.1, "mask AP": 34.2, "mIoU": 54.5},
    ),
    Row("ade20k", "instance", "l", f"{_L}_160k", "92dae9", 100, 215.5, {"mask AP": 34.9}),
    _cityscapes("panoptic", "t", "ceba0f", {"PQ": 63.9, "mask AP": 39.1, "mIoU": 80.5}),
    _cityscapes("panoptic", "s", "23efb7", {"PQ": 64.8, "mask AP": 40.7, "mIoU": 81.8}),
    _cityscapes("panoptic", "b", "fa840f", {"PQ": 66.1, "mask AP": 42.8, "mIoU": 82.7}),
    _cityscapes("panoptic", "l", "064788", {"PQ": 66.6, "mask AP": 43.6, "mIoU": 82.9}),
    _cityscapes("instance", "t", "6a63f8", {"mask AP": 39.7}),
    _cityscapes("instance", "s", "974824", {"mask AP": 41.8}),
    _cityscapes("instance", "b", "7a3b6d", {"mask AP": 42.0}),
    _cityscapes("instance", "l", "dfa862", {"mask AP": 43.7}),
    _cityscapes("semantic", "t", "2d58d4", {"mIoU": 82.1, "mIoU (ms+flip)": 83.0}),
    _cityscapes("semantic", "s", "fa26ae", {"mIoU": 82.6, "mIoU (ms+flip)": 83.6}),
    _cityscapes("semantic", "b", "1c6b65", {"mIoU": 83.3, "mIoU (ms+flip)": 84.5}),
    _cityscapes("semantic", "l", "17c1ee", {"mIoU": 83.3, "mIoU (ms+flip)": 84.3}),
)
