"""Every published Swin V1 and Swin-MLP file: address, model, scores and terms of use.

Scores are those that the publisher states, with the publisher's code: top-1 and top-5 on
ImageNet-1K, box and mask AP on COCO val2017, mIoU on ADE20K validation (single scale; `mIoU
(ms+flip)` at several scales with mirrors). None of them was measured here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from swin_dense.checkpoints.mask2former_files import LICENCE, MASK2FORMER_FILES

_STORAGE = "https://github.com/SwinTransformer/storage/releases/download"
_OPENMMLAB = "https://download.openmmlab.com"
_DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2/ViTDet/COCO"

_MIT = "MIT (github.com/microsoft/Swin-Transformer); trained on ImageNet, for its terms see there"
_APACHE = "Apache-2.0 (the SwinTransformer repositories, derived from OpenMMLab's)"
_MM = "Apache-2.0 (OpenMMLab)"
_D2 = "CC BY-SA 3.0 (detectron2's model zoo)"
_CARD = "see the model's card on the hub"
_BSD = "BSD-3-Clause (torchvision); trained on ImageNet, for its terms see there"

_ONLY_BACKBONE = "its backbone loads"


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file that somebody published.

    Attributes:
        name: name here; accepted wherever a file is.
        url: address; `hf://OWNER/NAME` on the Hugging Face hub.
        model: our name of the model: a name that `create_model` knows, or a backbone's variant for
            files whose heads we do not have.
        layout: a name in `key_maps.KEY_MAPS`.
        task: `classification`, `detection`, `segmentation` or `panoptic`.
        num_classes: classes K.
        parameters: of the whole network, in millions; None where it is not known.
        scores: as published.
        recipe: name of our recipe that trains such a model, or None.
        licence: as far as the publisher states it.
        note: remark for the reader.
    """

    name: str
    url: str
    model: str
    layout: str
    task: str
    num_classes: int
    parameters: float | None
    scores: dict[str, float] = field(default_factory=dict)
    recipe: str | None = None
    licence: str
    note: str = ""

    @property
    def file_name(self) -> str:
        """Last part of the URL."""
        return self.url.rpartition("/")[2]

    @property
    def cached_name(self) -> str:
        """Name in the cache; detectron2 and Mask2Former call all their files `model_final`."""
        is_named = not self.file_name.startswith("model_final")
        return self.file_name if is_named else f"{self.name}-{self.file_name}"

    @property
    def megabytes(self) -> float | None:
        """About the file's size: 4 bytes a parameter; an optimiser's state would add to that."""
        return None if self.parameters is None else 4 * self.parameters

    @property
    def has_our_heads(self) -> bool:
        """True if a whole model can be built from it."""
        return not self.model.startswith("swin_")


# Uploads of OpenMMLab's segmentation runs that newer ones replaced; from before its backbone had
# its present layout, so that what they hold is not known here.
SUPERSEDED = ("b0d75c08", "1721882d", "b786336e", "7e559c24", "3794a3a4", "791f358b")

_PARAMETERS = {  # of a classifier, millions: with the classes of ImageNet-1K and of ImageNet-22K
    "swin_t": (28.3, 44.3),
    "swin_s": (49.6, 65.6),
    "swin_b": (87.8, 109.1),
    "swin_b_w12": (87.9, 109.3),
    "swin_l": (196.5, 228.6),
    "swin_l_w12": (196.7, 228.8),
    "swin_t_c24": (28.3, 44.4),
    "swin_mixer_t_d24": (20.4, 36.4),
    "swin_mixer_t_d12": (21.2, 37.2),
    "swin_mixer_t_d6": (22.7, 38.7),
    "swin_mixer_b_d24": (60.7, 82.0),
}


def _classifier(
    name: str,
    url: str,
    model: str,
    layout: str,
    licence: str,
    scores: tuple[float, float] | None = None,
    note: str = "",
) -> PublishedFile:
    """A classification file; `scores` are top-1 and top-5, of those with ImageNet-1K's classes."""
    is_22k = name.endswith("22k")
    return PublishedFile(
        name=name,
        url=url,
        model=f"classifier_{model}",
        layout=layout,
        task="classification",
        num_classes=21841 if is_22k else 1000,
        parameters=_PARAMETERS[model][is_22k],
        scores=dict(zip(("top-1", "top-5"), scores, strict=True)) if scores else {},
        recipe=None if layout == "torchvision" else _classifier_recipe(name, model),
        licence=licence,
        note=note,
    )


def _classifier_recipe(name: str, model: str) -> str | None:
    """Name of the recipe that makes such a file, where that is one of ours: all but those of 384 px
    with ImageNet-22K's classes, whose configuration is not public."""
    if name.endswith("22k"):
        return None if model.endswith("w12") else f"classifier_{model}_imagenet22k_90e"
    side = "_384" if model.endswith("w12") else ""
    if "22k" in name or "large" in name:  # which was trained on ImageNet-22K alone
        return f"classifier_{model}_22kto1k{side}_30e"
    return f"classifier_{model}_imagenet{side}_{'30' if side else '300'}e"


def _microsoft_classifiers() -> Iterator[PublishedFile]:
    rows: tuple[tuple[str, str, str, tuple[float, float] | None], ...] = (
        ("v1.0.0", "swin_tiny_patch4_window7_224", "swin_t", (81.2, 95.5)),
        ("v1.0.0", "swin_small_patch4_window7_224", "swin_s", (83.2, 96.2)),
        ("v1.0.0", "swin_base_patch4_window7_224", "swin_b", (83.5, 96.5)),
        ("v1.0.0", "swin_base_patch4_window12_384", "swin_b_w12", (84.5, 97.0)),
        ("v1.0.0", "swin_base_patch4_window7_224_22k", "swin_b", None),
        ("v1.0.0", "swin_base_patch4_window7_224_22kto1k", "swin_b", (85.2, 97.5)),
        ("v1.0.0", "swin_base_patch4_window12_384_22k", "swin_b_w12", None),
        ("v1.0.0", "swin_base_patch4_window12_384_22kto1k", "swin_b_w12", (86.4, 98.0)),
        ("v1.0.0", "swin_large_patch4_window7_224_22k", "swin_l", None),
        ("v1.0.0", "swin_large_patch4_window7_224_22kto1k", "swin_l", (86.3, 97.9)),
        ("v1.0.0", "swin_large_patch4_window12_384_22k", "swin_l_w12", None),
        ("v1.0.0", "swin_large_patch4_window12_384_22kto1k", "swin_l_w12", (87.3, 98.2)),
        ("v1.0.5", "swin_tiny_c24_patch4_window8_256", "swin_t_c24", (81.6, 95.7)),
        ("v1.0.5", "swin_mlp_tiny_c24_patch4_window8_256", "swin_mixer_t_d24", (79.4, 94.6)),
        ("v1.0.5", "swin_mlp_tiny_c12_patch4_window8_256", "swin_mixer_t_d12", (79.6, 94.7)),
        ("v1.0.5", "swin_mlp_tiny_c6_patch4_window8_256", "swin_mixer_t_d6", (79.7, 94.9)),
        ("v1.0.5", "swin_mlp_base_patch4_window7_224", "swin_mixer_b_d24", (81.3, 95.3)),
        ("v1.0.8", "swin_tiny_patch4_window7_224_22k", "swin_t", None),
        ("v1.0.8", "swin_tiny_patch4_window7_224_22kto1k_finetune", "swin_t", (80.9, 96.0)),
        ("v1.0.8", "swin_small_patch4_window7_224_22k", "swin_s", None),
        ("v1.0.8", "swin_small_patch4_window7_224_22kto1k_finetune", "swin_s", (83.2, 97.0)),
    )
    for release, name, model, scores in rows:
        url = f"{_STORAGE}/{release}/{name}.pth"
        yield _classifier(name, url, model, "microsoft", _MIT, scores)


def _hub_classifiers() -> Iterator[PublishedFile]:
    """Copies on the Hugging Face hub, and torchvision's; scores as timm and torchvision state."""
    rows: tuple[tuple[str, str, tuple[float, float] | None], ...] = (
        ("swin_tiny_patch4_window7_224.ms_in1k", "swin_t", (81.388, 95.540)),
        ("swin_small_patch4_window7_224.ms_in1k", "swin_s", (83.228, 96.326)),
        ("swin_base_patch4_window7_224.ms_in1k", "swin_b", (83.604, 96.450)),
        ("swin_base_patch4_window12_384.ms_in1k", "swin_b_w12", (84.478, 96.886)),
        ("swin_tiny_patch4_window7_224.ms_in22k_ft_in1k", "swin_t", (80.966, 96.020)),
        ("swin_small_patch4_window7_224.ms_in22k_ft_in1k", "swin_s", (83.330, 96.996)),
        ("swin_base_patch4_window7_224.ms_in22k_ft_in1k", "swin_b", (85.276, 97.566)),
        ("swin_base_patch4_window12_384.ms_in22k_ft_in1k", "swin_b_w12", (86.442, 98.068)),
        ("swin_large_patch4_window7_224.ms_in22k_ft_in1k", "swin_l", (86.320, 97.890)),
        ("swin_large_patch4_window12_384.ms_in22k_ft_in1k", "swin_l_w12", (87.142, 98.228)),
        ("swin_tiny_patch4_window7_224.ms_in22k", "swin_t", None),
        ("swin_small_patch4_window7_224.ms_in22k", "swin_s", None),
        ("swin_base_patch4_window7_224.ms_in22k", "swin_b", None),
        ("swin_base_patch4_window12_384.ms_in22k", "swin_b_w12", None),
        ("swin_large_patch4_window7_224.ms_in22k", "swin_l", None),
        ("swin_large_patch4_window12_384.ms_in22k", "swin_l_w12", None),
    )
    for repository, model, scores in rows:
        name = f"timm/{repository}"
        note = "Microsoft's weights under timm's names"
        yield _classifier(name, f"hf://{name}", model, "timm", _CARD, scores, note)
    for repository, model in (
        ("swin-tiny-patch4-window7-224", "swin_t"),
        ("swin-small-patch4-window7-224", "swin_s"),
        ("swin-base-patch4-window7-224", "swin_b"),
        ("swin-base-patch4-window7-224-in22k", "swin_b"),
        ("swin-base-patch4-window12-384", "swin_b_w12"),
        ("swin-base-patch4-window12-384-in22k", "swin_b_w12"),
        ("swin-large-patch4-window7-224", "swin_l"),
        ("swin-large-patch4-window7-224-in22k", "swin_l"),
        ("swin-large-patch4-window12-384", "swin_l_w12"),
        ("swin-large-patch4-window12-384-in22k", "swin_l_w12"),
    ):
        name = f"microsoft/{repository}"
        note = "Microsoft's weights under transformers' names"
        yield _classifier(name, f"hf://{name}", model, "huggingface_v4", _CARD, None, note)
    for name, model, scores in (
        ("swin_t-704ceda3", "swin_t", (81.474, 95.776)),
        ("swin_s-5e29d889", "swin_s", (83.196, 96.360)),
        ("swin_b-68c6b09e", "swin_b", (83.582, 96.640)),
    ):
        url = f"https://download.pytorch.org/models/{name}.pth"
        yield _classifier(name, url, model, "torchvision", _BSD, scores, "trained by torchvision")


def _detector(
    name: str,
    url: str,
    model: str,
    layout: str,
    licence: str,
    scores: tuple[float, float | None],
    parameters: float | None,
    recipe: str | None = None,
    note: str = "",
) -> PublishedFile:
    """A COCO file; `scores` are box and mask AP."""
    named = {"box AP": scores[0], "mask AP": scores[1]}
    return PublishedFile(
        name=name,
        url=url,
        model=model,
        layout=layout,
        task="detection",
        num_classes=80,
        parameters=parameters,
        scores={key: value for key, value in named.items() if value is not None},
        recipe=recipe,
        licence=licence,
        note=note,
    )


def _detectors() -> Iterator[PublishedFile]:
    moby = "backbone pre-trained without labels (MoBY)"
    t, s, b = ("tiny_patch4_window7", "small_patch4_window7", "base_patch4_window7")
    microsoft: tuple[tuple[str, str, str, tuple[float, float], float, str | None, str], ...] = (
        ("v1.0.2", f"mask_rcnn_swin_{t}", "t", (46.0, 41.6), 48, "3x", ""),
        ("v1.0.2", f"mask_rcnn_swin_{s}", "s", (48.5, 43.3), 69, "3x", ""),
        ("v1.0.2", f"cascade_mask_rcnn_swin_{t}", "t", (50.4, 43.7), 86, "3x", ""),
        ("v1.0.2", f"cascade_mask_rcnn_swin_{s}", "s", (51.9, 45.0), 107, "3x", ""),
        ("v1.0.2", f"cascade_mask_rcnn_swin_{b}", "b", (51.9, 45.0), 145, "3x", ""),
        ("v1.0.3", f"mask_rcnn_swin_{t}_1x", "t", (43.7, 39.8), 48, "1x", ""),
        ("v1.0.3", f"cascade_mask_rcnn_swin_{t}_1x", "t", (48.1, 41.7), 86, "1x", ""),
        ("v1.0.3", f"moby_mask_rcnn_swin_{t}_1x", "t", (43.6, 39.6), 48, None, moby),
        ("v1.0.3", f"moby_mask_rcnn_swin_{t}_3x", "t", (46.0, 41.7), 48, None, moby),
        ("v1.0.3", f"moby_cascade_mask_rcnn_swin_{t}_1x", "t", (48.1, 41.5), 86, None, moby),
        ("v1.0.3", f"moby_cascade_mask_rcnn_swin_{t}_3x", "t", (50.2, 43.5), 86, None, moby),
    )
    for release, name, size, scores, parameters, schedule, note in microsoft:
        cascade = "cascade_" if "cascade" in name else ""
        model = f"{cascade}mask_rcnn_swin_{size}"
        recipe = f"{model}_coco_{schedule}" if schedule else None
        url = f"{_STORAGE}/{release}/{name}.pth"
        yield _detector(name, url, model, "microsoft", _APACHE, scores, parameters, recipe, note)
    for name, points, millions in (
        (f"reppointsv2_swin_{t}_3x", (50.0, None), 45),
        (f"mask_reppointsv2_swin_{t}_3x", (50.4, 43.8), 47),
    ):
        url = f"{_STORAGE}/v1.0.9/{name}.pth"
        note = f"RepPoints V2 heads, which we do not have; {_ONLY_BACKBONE}"
        yield _detector(name, url, "swin_t", "microsoft", _APACHE, points, millions, None, note)
    for run, stamp, size, scores, recipe in (
        ("t-p4-w7_fpn_1x", "20210902_120937-9d6b7cfa", "t", (42.7, 39.3), "1x"),
        ("t-p4-w7_fpn_ms-crop-3x", "20210906_131725-bacf6f7b", "t", (46.0, 41.6), "3x"),
        ("t-p4-w7_fpn_fp16_ms-crop-3x", "20210908_165006-90a4008c", "t", (46.0, 41.7), "3x"),
        ("s-p4-w7_fpn_fp16_ms-crop-3x", "20210903_104808-b92c91f1", "s", (48.2, 43.2), "3x"),
    ):
        run, model = f"mask_rcnn_swin-{run}_coco", f"mask_rcnn_swin_{size}"
        url = f"{_OPENMMLAB}/mmdetection/v2.0/swin/{run}/{run}_{stamp}.pth"
        recipe = f"{model}_mmdet_coco_{recipe}"
        parameters = 48 if size == "t" else 69
        yield _detector(run, url, model, "mm", _MM, scores, parameters, recipe)
    for size, run, file, scores in (
        ("b", "f342979038", "model_final_246a82", (53.9, 46.2)),
        ("l", "f342979186", "model_final_7c897e", (55.0, 47.2)),
    ):
        name = f"cascade_mask_rcnn_swin_{size}_in21k"
        url = f"{_DETECTRON2}/{name}/{run}/{file}.pkl"
        note = f"detectron2's heads, which we do not have; {_ONLY_BACKBONE}"
        yield _detector(name, url, f"swin_{size}", "detectron2", _D2, scores, None, None, note)


def _segmentor(
    name: str,
    url: str,
    model: str,
    layout: str,
    licence: str,
    scores: tuple[float, float] | None,
    note: str = "",
    *,
    has_recipe: bool = False,
) -> PublishedFile:
    """An ADE20K file; `scores` are mIoU at one scale and at several with mirrors."""
    return PublishedFile(
        name=name,
        url=url,
        model=model,
        layout=layout,
        task="segmentation",
        num_classes=150,
        parameters={"t": 60, "s": 81, "b": 121, "l": 234}[model[13]],
        scores=dict(zip(("mIoU", "mIoU (ms+flip)"), scores, strict=True)) if scores else {},
        recipe=f"{model}_ade20k_160k" if has_recipe else None,
        licence=licence,
        note=note,
    )


def _segmentors() -> Iterator[PublishedFile]:
    for size, word, scores in (
        ("t", "tiny", (44.51, 45.81)),
        ("s", "small", (47.64, 49.47)),
        ("b", "base", (48.13, 49.72)),
    ):
        name = f"upernet_swin_{word}_patch4_window7_512x512"
        yield _segmentor(
            name,
            f"{_STORAGE}/v1.0.1/{name}.pth",
            f"upernet_swin_{size}",
            "microsoft",
            _APACHE,
            scores,
            has_recipe=True,
        )
    name = "moby_upernet_swin_tiny_patch4_window7_512x512"
    note = "backbone pre-trained without labels (MoBY)"
    url = f"{_STORAGE}/v1.0.3/{name}.pth"
    yield _segmentor(name, url, "upernet_swin_t", "microsoft", _APACHE, (44.06, 45.58), note)
    middle = "512x512_160k_ade20k_pretrain"
    large = "upernet_swin_large_patch4_{}_512x512_pretrain_{}_22K_160k_ade20k"
    in1k, in22k = "ImageNet-1K backbone", "ImageNet-22K backbone"
    for run, stamp, model, scores, note in (
        (
            f"upernet_swin_tiny_patch4_window7_{middle}_224x224_1K",
            "20210531_112542-e380ad3e",
            "upernet_swin_t",
            (44.41, 45.79),
            in1k,
        ),
        (
            f"upernet_swin_small_patch4_window7_{middle}_224x224_1K",
            "20210526_192015-ee2fff1c",
            "upernet_swin_s",
            (47.72, 49.24),
            in1k,
        ),
        (
            f"upernet_swin_base_patch4_window7_{middle}_224x224_1K",
            "20210526_192340-593b0e13",
            "upernet_swin_b",
            (47.99, 49.57),
            in1k,
        ),
        (
            f"upernet_swin_base_patch4_window7_{middle}_224x224_22K",
            "20210526_211650-762e2178",
            "upernet_swin_b",
            (50.13, 51.9),
            in22k,
        ),
        (
            f"upernet_swin_base_patch4_window12_{middle}_384x384_1K",
            "20210531_132020-05b22ea4",
            "upernet_swin_b_w12",
            (48.35, 49.65),
            in1k,
        ),
        (
            f"upernet_swin_base_patch4_window12_{middle}_384x384_22K",
            "20210531_125459-429057bf",
            "upernet_swin_b_w12",
            (50.76, 52.4),
            in22k,
        ),
        (
            large.format("window7", "224x224"),
            "20220318_015320-48d180dd",
            "upernet_swin_l",
            (51.17, 52.99),
            in22k,
        ),
        (
            large.format("window12", "384x384"),
            "20220318_091743-9ba68901",
            "upernet_swin_l_w12",
            (52.25, 54.12),
            in22k,
        ),
    ):
        url = f"{_OPENMMLAB}/mmsegmentation/v0.5/swin/{run}/{run}_{stamp}.pth"
        yield _segmentor(run, url, model, "mm", _MM, scores, note, has_recipe=True)
    for word, model in (
        ("tiny", "upernet_swin_t"),
        ("small", "upernet_swin_s"),
        ("base", "upernet_swin_b_w12"),
        ("large", "upernet_swin_l_w12"),
    ):
        name = f"openmmlab/upernet-swin-{word}"
        note = "mmsegmentation's weights under transformers' names"
        yield _segmentor(name, f"hf://{name}", model, "huggingface_v4", _CARD, None, note)


def _query_models() -> Iterator[PublishedFile]:
    """Mask2Former's; Cityscapes' of sizes B and L and all of L start from ImageNet-22K."""
    tasks = {"instance": "detection", "semantic": "segmentation", "panoptic": "panoptic"}
    for row in MASK2FORMER_FILES:
        yield PublishedFile(
            name=row.name,
            url=row.url,
            model=f"mask2former_swin_{row.size}",
            layout="mask2former",
            task=tasks[row.task],
            num_classes=row.classes,
            parameters=row.parameters,
            scores=row.scores,
            recipe=row.recipe,
            licence=LICENCE,
            note="backbone pre-trained on ImageNet-22K" if row.is_22k else "",
        )


PUBLISHED: dict[str, PublishedFile] = {
    file.name: file
    for file in (
        *_microsoft_classifiers(),
        *_detectors(),
        *_segmentors(),
        *_query_models(),
        *_hub_classifiers(),
    )
}


def find_published(name: str) -> PublishedFile | None:
    """The entry of a name, or of a file by the name it was published under or has in our cache;
    None if unknown."""
    name = name.rpartition("/")[2] if name not in PUBLISHED else name
    if name in PUBLISHED:
        return PUBLISHED[name]
    for file in PUBLISHED.values():
        if name in (file.file_name, file.cached_name) and not file.url.startswith("hf://"):
            return file
    return None
