"""Hostile inputs, drawn at random by family: files and the command line that is to read them."""

import json
import os
import pickle
import random
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from coco_writer import coco_content, write_coco
from safetensors.torch import load_file, save_file

from swin_dense.configs import SwinConfig
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.detection.config import BoxConfig, MaskConfig, MaskRCNNConfig, RPNConfig
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.segmentation.config import UPerNetConfig
from swin_dense.tools.commands.convert import convert_file
from swin_dense.tools.flags import list_fields
from swin_dense.tools.recipes.table import find_recipe

CANARY = "executed"  # a file that exists when something in an input was run
_BACKBONE = SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1), window_size=2)
_HUB_QUERIES = "huggingface_mask2former"
_ESCAPE = "\x1b[31mred\x1b[0m\x07"
_BIDI = "abc\u202egpj.exe\u2066\u200f"
_NAMES = (_ESCAPE, _BIDI, "[bold red]x[/]", "[/nothing]", "a\nb\r\0c", "\ud800", "x" * 100_000, "")
_NUMBERS = (
    "0",
    "-1",
    "1",
    "1000000000",
    str(10**12),
    str(2**63),
    str(10**40),
    "nan",
    "inf",
    "1e308",
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1.5,
        10**9,
        10**30,
        1e20,
        1e300,
        float("nan"),
        float("inf"),
        "",
        "7",
        [],
        {},
    ),
    *([[[[]]]], {"a": {"b": []}}, [None] * 50, -(10**40), *_NAMES),
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command line over hostile files.

    Attributes:
        family: of the input.
        words: the command line.
        is_wrong: whether the command must refuse it; else it may also do its work.
        names: text that the error must have, such as the key of a weight.
    """

    family: str
    words: list[str]
    is_wrong: bool = False
    names: str = ""


def make_material(folder: Path) -> None:
    """Good inputs, of which the hostile ones are made: two models and two data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    parts = {
        "fpn_channels": 8,
        "rpn": RPNConfig(test_nms_pre=20, test_max_proposals=10),
        "box": BoxConfig(fc_channels=8, max_detections=5),
        "mask": MaskConfig(num_convs=1, channels=8),
    }
    detector = MaskRCNNConfig(backbone=_BACKBONE, num_classes=2, **parts)  # type: ignore[arg-type]
    model = create_model(detector, class_names=("cat", "dog"), category_ids=(3, 7))
    save_model(model, folder / "detector.safetensors")
    torch.save(
        {"state_dict": model.state_dict(), "meta": {"CLASSES": ("cat", "dog")}},
        folder / "detector.pth",
    )
    segmentor = UPerNetConfig(
        backbone=_BACKBONE, num_classes=2, decoder_channels=8, auxiliary_channels=8
    )
    model = create_model(segmentor, class_names=("cat", "dog"))
    save_model(model, folder / "segmentor.safetensors")
    write_queries(folder)
    write_coco(folder / "coco", coco_content())
    write_scenes(folder / "scenes")


def write_queries(folder: Path) -> None:
    """A small Mask2Former as ours, as Meta's pickle and as transformers' folder."""
    widths = {"channels": 32, "num_heads": 2, "encoder_ffn_channels": 8, "decoder_ffn_channels": 8}
    config = Mask2FormerConfig(
        backbone=_BACKBONE,
        num_classes=2,
        num_queries=3,
        encoder_layers=1,
        decoder_layers=1,
        **widths,
    )
    save_model(create_model(config, class_names=("cat", "dog")), folder / "queries.safetensors")
    convert_file(folder / "queries.safetensors", folder / "queries.pkl", layout="mask2former")
    hub = folder / "hub"
    hub.mkdir(exist_ok=True)
    convert_file(folder / "queries.pkl", hub / "model.safetensors", layout=_HUB_QUERIES)
    stored = {
        "model_type": "mask2former",
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "num_attention_heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_feedforward_dim": 8,
        "dim_feedforward": 8,
        "num_queries": 3,
        "class_weight": 2.0,
        "mask_weight": 5.0,
        "dice_weight": 5.0,
        "no_object_weight": 0.1,
        "train_num_points": 99,
        "oversample_ratio": 3.0,
        "importance_sample_ratio": 0.75,
        "pre_norm": False,
        "activation_function": "relu",
        "common_stride": 4,
        "backbone_config": {"hidden_act": "gelu", "layer_norm_eps": 1e-5},
        "id2label": {"0": "cat", "1": "dog"},
    }
    (hub / "config.json").write_text(json.dumps(stored))


def write_scenes(root: Path) -> None:
    """One image with its label map, in ADE20K's layout, as both splits."""
    for split in ("training", "validation"):
        for part in ("images", "annotations"):
            (root / part / split).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "images" / split / "a.png"), pixels)
        labels = np.ones((40, 60), np.uint8)
        labels[:20] = 2
        cv2.imwrite(str(root / "annotations" / split / "a.png"), labels)
    (root / "classes.txt").write_text("cat\ndog\n")


# ------------------------------------------------------------------------------------- weights


def weights_values(draw: random.Random, material: Path, folder: Path) -> Case:
    """One value of a weight that no training ends with."""
    state = load_file(material / "detector.safetensors")
    key = draw.choice([key for key, value in state.items() if value.is_floating_point()])
    value = draw.choice([float("nan"), float("inf"), -float("inf"), 1e30, -3e38])
    state[key].view(-1)[draw.randrange(state[key].numel())] = value
    metadata = _metadata(material)
    save_file(state, folder / "a.safetensors", metadata=metadata)
    return Case(
        family="weights", words=_predict(folder, folder / "a.safetensors"), is_wrong=True, names=key
    )


def weights_keys(draw: random.Random, material: Path, folder: Path) -> Case:
    """Names of weights, classes and metadata that a terminal would obey."""
    name = draw.choice([name for name in _NAMES if (name and name.isascii()) or name == _BIDI])
    state = load_file(material / "detector.safetensors")
    metadata = _metadata(material) | {draw.choice(["note", name.strip("\0") or "a"]): name}
    metadata["class_names"] = json.dumps([name, "dog"])
    if draw.random() < 0.6:
        state[draw.choice(["backbone.", "", "roi_head."]) + name] = torch.zeros(2)
    save_file(state, folder / "a.safetensors", metadata=metadata)
    command = draw.choice(["inspect", "predict", "convert"])
    if command == "predict":
        return Case(family="keys", words=_predict(folder, folder / "a.safetensors"))
    words = [command, str(folder / "a.safetensors")]
    words += [str(folder / "b.pth"), "--to", "mm"] if command == "convert" else []
    return Case(family="keys", words=words)


def safetensors_headers(draw: random.Random, material: Path, folder: Path) -> Case:
    """A header whose size, offsets, shapes or JSON are not those of the values behind it."""
    content = bytearray((material / "detector.safetensors").read_bytes())
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    key = draw.choice([key for key in header if key != "__metadata__"])
    kind = draw.randrange(6)
    if kind == 0:
        content[:8] = struct.pack("<Q", draw.choice([0, 1, size - 1, 2**40, 2**63, 2**64 - 1]))
    elif kind == 1:
        header[key]["data_offsets"] = draw.choice([[0, 10**15], [10, 0], [-5, 3], [0], None])
    elif kind == 2:
        header[key]["shape"] = draw.choice([[10**12], [-1], [2**62, 4], None, ["a"], [1.5]])
    elif kind == 3:
        header[key]["dtype"] = draw.choice(["F128", "", None, 3, _ESCAPE, "I8"])
    elif kind == 4:
        content = content[: draw.randrange(len(content))]
    else:
        content[8 : 8 + size] = b"[" * size
    if kind in (1, 2, 3):
        text = json.dumps(header).encode()
        content = bytearray(struct.pack("<Q", len(text)) + text + content[8 + size :])
    (folder / "a.safetensors").write_bytes(content)
    words = ["inspect", str(folder / "a.safetensors")]
    return Case(family="safetensors", words=words, is_wrong=True)


def stored_configs(draw: random.Random, material: Path, folder: Path) -> Case:
    """A config, names or ids in the metadata with values of any kind and size."""
    model = draw.choice(["detector", "queries"])
    metadata = _metadata(material, model)
    place = draw.choice(["config", "config", "class_names", "category_ids", "model"])
    if place == "config":
        config = json.loads(metadata["config"])
        _replace_somewhere(config, draw, draw.choice(_VALUES))
        metadata["config"] = json.dumps(config)
    else:
        metadata[place] = json.dumps(draw.choice(_VALUES))
    state = load_file(material / f"{model}.safetensors")
    save_file(state, folder / "a.safetensors", metadata=metadata)
    is_wrong = place in ("class_names", "category_ids")
    return Case(
        family="configs", words=_predict(folder, folder / "a.safetensors"), is_wrong=is_wrong
    )


class _Runs:
    """Touches the canary when it is unpickled freely."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self._path}'",)


def pickles(draw: random.Random, material: Path, folder: Path) -> Case:
    """Pickles that run something, that multiply, and torch files with bytes changed."""
    path, kind = folder / "a.pth", draw.randrange(5)
    if kind == 0:
        content = {"state_dict": {"a": torch.zeros(1)}, "meta": _Runs(folder / CANARY)}
        torch.save(content, path)
    elif kind == 1:
        path = path.with_suffix(".pkl")
        path.write_bytes(pickle.dumps({"model": {"a": _Runs(folder / CANARY)}}, draw.randrange(5)))
    elif kind == 2:
        path.write_bytes(_multiplied(draw))
    else:
        changed = bytearray((material / "detector.pth").read_bytes())
        places = range(min(len(changed), 6000)) if kind == 3 else range(len(changed))
        for _ in range(draw.choice([1, 3, 20])):
            changed[draw.choice(places)] = draw.randrange(256)
        path.write_bytes(changed)
    return Case(family="pickles", words=["inspect", str(path)], is_wrong=kind < 2)


def _multiplied(draw: random.Random) -> bytes:
    """A pickle whose metadata unfolds to 10**12 references and more, written opcode by opcode.

    Python itself could not write those with sets and keys: it would compute their hashes.
    """
    good = pickle.dumps({"state_dict": {"a": np.zeros(2)}}, 2)
    part, levels = draw.choice([b")", b"K\x01", b"]", b"}"]), 40

    def put(level: int) -> bytes:
        return b"r" + struct.pack("<I", 1000 + level)

    def get(level: int) -> bytes:
        return b"j" + struct.pack("<I", 1000 + level)

    kind = draw.randrange(5)
    opcodes = part + put(0) + b"0"
    for level in range(levels):
        below = get(level)
        opcodes += [
            b"(" + 10 * below + b"t",
            b"(" + 10 * below + b"l",
            b"(" + below + 2 * (b"K\x01" + below) + b"K\x02" + b"d",
            b"(" + b"(" + 2 * below + b"t" + b"K\x07" + b"\x91",
            b"}" + b"(" + 2 * below + b"t" + b"N" + b"s",
        ][kind]
        opcodes += put(level + 1) + b"0"
    return good[:-1] + b"X\x04\0\0\0meta" + opcodes[:-1] + b"s."


def query_models(draw: random.Random, material: Path, folder: Path) -> Case:
    """Mask2Former in its layouts with weights that are missing, too many or of other shapes or
    values; with another config beside them; and as a pickle with bytes changed."""
    kind = draw.randrange(4)
    if kind == 0:
        path = folder / "a.pkl"
        content = pickle.loads((material / "queries.pkl").read_bytes())
        _spoil_weights(content["model"], draw)
        path.write_bytes(pickle.dumps(content, draw.choice([2, 4])))
        return Case(family="queries", words=_predict(folder, path), is_wrong=True)
    if kind == 1:
        state = {k: v.numpy() for k, v in load_file(material / "hub" / "model.safetensors").items()}
        _spoil_weights(state, draw)
        path = folder / "a.safetensors"
        save_file({k: torch.tensor(v) for k, v in state.items()}, path)
        return Case(family="queries", words=_predict(folder, path), is_wrong=True)
    if kind == 2:
        hub = folder / "hub"
        shutil.copytree(material / "hub", hub)
        stored = json.loads((hub / "config.json").read_text())
        _replace_somewhere(stored, draw, draw.choice(_VALUES))
        junk = draw.choice(["[" * 10**6, "", "null", "[]", '{"model_type": NaN}'])
        text = json.dumps(stored) if draw.random() < 0.9 else junk
        (hub / "config.json").write_text(text)
        return Case(family="queries", words=_predict(folder, hub))
    changed = bytearray((material / "queries.pkl").read_bytes())
    for _ in range(draw.choice([1, 3, 20])):
        changed[draw.randrange(min(len(changed), 6000))] = draw.randrange(256)
    (folder / "a.pkl").write_bytes(changed)
    return Case(family="queries", words=["inspect", str(folder / "a.pkl")])


def _spoil_weights(state: dict[str, Any], draw: random.Random) -> None:
    """Make one weight of a state dict of arrays one that cannot be."""
    heads = [key for key in state if "backbone" not in key and "encoder.embeddings" not in key]
    heads = [key for key in heads if "criterion" not in key]
    key, kind = draw.choice(heads), draw.randrange(4)
    if kind == 0:
        del state[key]
    elif kind == 1:
        state[key + draw.choice(["x", _ESCAPE, ".7"])] = state[key]
    elif kind == 2:
        shape = draw.choice([(0,), (), (1, 1, 1, 1, 1), (*state[key].shape, 2), (10**6, 1)])
        state[key] = np.zeros(shape, np.float32)
    else:
        state[key] = np.full_like(state[key], draw.choice([np.nan, np.inf, 1e30]))


# ---------------------------------------------------------------------------------------- data


def coco_files(draw: random.Random, material: Path, folder: Path) -> Case:
    """An annotation file with one value replaced, or with text that is no such JSON."""
    content = coco_content()
    is_wrong, kind = True, draw.randrange(8)
    text = json.dumps(content)
    if kind == 0:
        box = [
            draw.choice([1e20, -1e20, 1e300, 10**40]) if place == draw.randrange(4) else 5
            for place in range(4)
        ]
        box[draw.randrange(4)] = 1e20
        content["annotations"][0]["bbox"] = box
        text = json.dumps(content)
    elif kind == 1:
        content["categories"] += [{"id": 100 + i, "name": f"c{i}"} for i in range(100_000)]
        text = json.dumps(content)
    elif kind == 2:
        del content[draw.choice(list(content))]
        text = json.dumps(content)
    elif kind == 3:
        text = draw.choice(["[" * 10**6, "9" * 10_000, "", "null", "[]", '"a"', '{"images": NaN}'])
    elif kind == 4:
        content["categories"][0]["name"] = draw.choice(["\ud800", "\udfffx", "", "y" * 100_000, 5])
        text = json.dumps(content)
    elif kind == 5:
        text = text.replace("{", '{"images": [], "annotations": [], ', 1)
    elif kind == 6:
        text = text[: draw.randrange(len(text))]
    else:
        is_wrong = False
        _replace_somewhere(content, draw, draw.choice(_VALUES))
        text = json.dumps(content)
    root = folder / "coco"
    write_coco(root, coco_content())
    (root / "annotations" / "instances_val2017.json").write_text(text)
    words = ["evaluate", "--weights", str(material / "detector.safetensors"), "--data", str(root)]
    return Case(
        family="coco", words=[*words, "--scale", "64", "64", "--workers", "0"], is_wrong=is_wrong
    )


def class_lists(draw: random.Random, material: Path, folder: Path) -> Case:
    """Lists of classes that are short, huge, in another encoding, or hostile to a terminal."""
    root = folder / "scenes"
    write_scenes(root)
    (root / "classes.txt").unlink()
    choices: dict[str, tuple[bytes, bool]] = {
        "short rows": (b"name,r,g,b\ncat\ndog,1\n", True),
        "no names": (b"label,name\n0\n1\n", True),
        "megabytes": (b"name\n" + b"a" * 3_000_000 + b"\ndog\n", True),
        "quoted megabytes": (b'name\n"' + b"a" * 3_000_000 + b"\ndog\n", True),
        "other columns": (b"class\ncat\ndog\n", True),
        "colours": (b"name,r,g,b\ncat,1e99,2,3\ndog,4,5,6\n", True),
        "labels": (b"label,name\n0,cat\n7,dog\n", True),
        "UTF-16": ("name\ncat\ndog\n".encode("utf-16"), True),
        "zero bytes": (b"name\nc\0t\ndog\n", False),
        "escapes": (f"name\n{_ESCAPE}\n{_BIDI}\n".encode(), False),
        "huge numbers": (b"label,name\n" + b"9" * 9000 + b",cat\n1,dog\n", True),
        "empty": (b"", True),
    }
    name = draw.choice(list(choices))
    content, is_wrong = choices[name]
    (root / "classes.csv").write_bytes(content)
    if draw.random() < 0.15:
        (root / "classes.csv").unlink()
        _make_special(root / draw.choice(["classes.txt", "classes.csv"]), draw)
        is_wrong = True
    return Case(family="classes", words=_evaluate_scenes(material, root), is_wrong=is_wrong)


def label_maps(draw: random.Random, material: Path, folder: Path) -> Case:
    """Label maps that are damaged, giant, coloured, out of range, or no files."""
    root = folder / "scenes"
    write_scenes(root)
    path = root / "annotations" / "validation" / "a.png"
    kind = draw.randrange(5)
    if kind == 0:
        path.write_bytes(_png(30_000, 30_000))
    elif kind == 1:
        path.unlink()
        _make_special(path, draw)
    elif kind == 2:
        cv2.imwrite(str(path), np.full((40, 60), draw.choice([3, 77, 254]), np.uint8))
    elif kind == 3:
        cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    else:
        _change_bytes(path, draw)
    words = _evaluate_scenes(material, root)
    return Case(family="label maps", words=words, is_wrong=kind < 4)


def images(draw: random.Random, material: Path, folder: Path) -> Case:
    """Images that are damaged, giant, no images, no files, or named to be obeyed."""
    path, kind = folder / "a.png", draw.randrange(6)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    if kind == 0:
        path.write_bytes(draw.choice([_png, _jpeg, _bmp])(30_000, 30_000))
    elif kind == 1:
        path.unlink()
        _make_special(path, draw)
    elif kind == 2:
        path.write_bytes(draw.choice([b"", b"text", bytes(1000), draw.randbytes(5000)]))
    elif kind == 3:
        name = draw.choice([_ESCAPE, _BIDI, "[red]", "a\nb", "\udcff", "x" * 200]) + ".png"
        path = path.rename(folder / name)
        if draw.random() < 0.5:
            path.write_bytes(b"")
    else:
        _change_bytes(path, draw)
    is_wrong = kind < 3
    source = path
    if draw.random() < 0.3:  # in a folder, one that cannot be read is left out and named
        source = folder / "pictures"
        source.mkdir()
        path.rename(source / path.name)
    weights = material / draw.choice(["detector.safetensors", "segmentor.safetensors"])
    words = _predict(folder, weights, source)
    if draw.random() < 0.3:  # notes what it cannot read, unless it is no file
        words, is_wrong = ["features", *words[1:]], kind == 1 and source == path
    return Case(family="images", words=words, is_wrong=is_wrong)


# --------------------------------------------------------------------------------------- flags

_WORDS = (
    "",
    "a",
    _ESCAPE,
    _BIDI,
    "None",
    "[]",
    "--",
    "/dev/zero",
    "/dev/stdin",
    "\ud800",
    "a" * 5000,
)
_FLAGS = {
    "predict": (
        "batch-size",
        "scale",
        "crop",
        "stride",
        "mode",
        "score-threshold",
        "max-megapixels",
        "tiles",
        "device",
        "precision",
        "out",
        "weights",
    ),
    "features": (
        *("batch-size", "scale", "levels", "dtype", "pool", "pyramid", "workers", "threads"),
        *("images-per-shard", "max-megapixels", "device", "ray-address", "actors", "out"),
    ),
    "evaluate": (
        "batch-size",
        "scale",
        "crop",
        "stride",
        "workers",
        "split",
        "json",
        "max-megapixels",
        "tiles",
        "results",
        "data",
        "weights",
    ),
    "demo": ("size", "train-images", "val-images", "steps", "seed", "out"),
    "inspect": ("json",),
    "convert": ("to", "backbone-only"),
    "report": ("out",),
}
_PAIRS = ("scale", "crop", "stride")


def flags(draw: random.Random, material: Path, folder: Path) -> Case:
    """One flag of a command with a number or a word that it cannot have meant."""
    command = draw.choice(list(_FLAGS))
    flag = draw.choice(_FLAGS[command])
    values = [draw.choice(_NUMBERS if draw.random() < 0.75 else _WORDS)]
    if flag in _PAIRS:
        values.append(draw.choice([*_NUMBERS, values[0]]))
    task = draw.choice(["detector", "segmentor"])
    weights = material / f"{task}.safetensors"
    data = material / ("coco" if task == "detector" else "scenes")
    words = {
        "predict": _predict(folder, weights, data),
        "features": ["features", *_predict(folder, weights, data)[1:]],
        "evaluate": ["evaluate", "--weights", str(weights), "--data", str(data)],
        "demo": ["demo", "--out", str(folder / "demo"), "--size", "1"],
        "inspect": ["inspect", str(weights)],
        "convert": ["convert", str(weights), str(folder / "b.pth"), "--to", "mm"],
        "report": ["report", str(folder)],
    }[command]
    if flag in ("crop", "stride") and draw.random() < 0.7:
        words += ["--mode", "slide"]
    if command == "demo" and flag == "size":
        words = words[:-2]
    is_wrong = command == "demo"  # its size, always: whatever is right would train for minutes
    words += [f"--{flag}", *values]
    return Case(family="flags", words=words, is_wrong=is_wrong)


def training_flags(draw: random.Random, material: Path, folder: Path) -> Case:
    """One field of a recipe, or a flag of `train`, with a number out of all proportion."""
    name = draw.choice(["mask_rcnn_demo", "upernet_demo"])
    recipe = find_recipe(name)
    fields = [field for field in list_fields(recipe) if "class_names" not in field]
    others = [
        "workers",
        "accumulate",
        "log-every",
        "save-every",
        "save-minutes",
        "keep",
        "ema",
        "max-megapixels",
    ]
    flag = draw.choice(fields if draw.random() < 0.8 else others)
    value = draw.choice([*_NUMBERS, *_NUMBERS, *_WORDS[:3]])
    root = folder / "coco"
    if name == "mask_rcnn_demo":
        for split in ("train2017", "val2017"):
            write_coco(root, coco_content(), split=split)
    else:
        write_scenes(root)
    words = ["train", name, "--data.root", str(root), "--out", str(folder / "run"), "--check-only"]
    words += ["--device", "cpu", "--workers", "0", "--batch-size", "1"]
    count = 2 if flag.endswith(("scale", "crop", "crop_range", "ratios", "betas")) else 1
    return Case(
        family="training flags", words=[*words, f"--{flag.replace('_', '-')}", *[value] * count]
    )


Family = Callable[[random.Random, Path, Path], Case]
FAMILIES: tuple[Family, ...] = (
    *(weights_values, weights_keys, safetensors_headers, stored_configs, pickles, query_models),
    *(coco_files, class_lists, label_maps, images, flags, training_flags),
)


# --------------------------------------------------------------------------------------- parts


def _metadata(material: Path, model: str = "detector") -> dict[str, str]:
    content = (material / f"{model}.safetensors").read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return dict(json.loads(content[8 : 8 + size])["__metadata__"])


def _predict(folder: Path, weights: Path, source: Path | None = None) -> list[str]:
    if source is None:
        source = folder / "good.png"
        cv2.imwrite(str(source), np.full((40, 60, 3), 99, np.uint8))
    words = ["predict", "--weights", str(weights), str(source), "--out", str(folder / "out")]
    return [*words, "--scale", "64", "64", "--device", "cpu"]


def _evaluate_scenes(material: Path, root: Path) -> list[str]:
    weights = material / "segmentor.safetensors"
    words = ["evaluate", "--weights", str(weights), "--data", str(root), "--workers", "0"]
    return [*words, "--scale", "64", "64", "--device", "cpu"]


def _replace_somewhere(content: Any, draw: random.Random, value: Any) -> None:
    """Replace one value, at any depth of lists and tables."""
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = draw.choice(keys)
    if isinstance(content[key], dict | list) and content[key] and draw.random() < 0.8:
        _replace_somewhere(content[key], draw, value)
    else:
        content[key] = value


def _make_special(path: Path, draw: random.Random) -> None:
    """A pipe, a socket or a link to a device."""
    kind = draw.randrange(3)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket may have some hundred letters at most
        try:
            socket.socket(socket.AF_UNIX).bind(path.name)
        finally:
            os.chdir(here)


def _change_bytes(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 5, 50])):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])


def _png(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel that is a few kilobytes long."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame header states another size."""
    encoded = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    place = encoded.index(b"\xff\xc0")
    encoded[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(encoded)


def _bmp(width: int, height: int) -> bytes:
    """A BMP whose header states another size."""
    encoded = bytearray(cv2.imencode(".bmp", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    encoded[18:26] = struct.pack("<ii", width, height)
    return bytes(encoded)
