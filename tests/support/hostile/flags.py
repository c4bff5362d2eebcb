"""Hostile command lines: numbers and words that a flag cannot have meant."""

import random
from pathlib import Path

from coco_writer import coco_content, write_coco

from hostile.cases import BIDI, ESCAPE, NUMBERS, Case, predict_words
from hostile.material import write_scenes
from swin_dense.tools.flags import list_fields
from swin_dense.tools.recipes.table import find_recipe

_WORDS = (
    "",
    "a",
    ESCAPE,
    BIDI,
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
    values = [draw.choice(NUMBERS if draw.random() < 0.75 else _WORDS)]
    if flag in _PAIRS:
        values.append(draw.choice([*NUMBERS, values[0]]))
    task = draw.choice(["detector", "segmentor"])
    weights = material / f"{task}.safetensors"
    data = material / ("coco" if task == "detector" else "scenes")
    words = {
        "predict": predict_words(folder, weights, data),
        "features": ["features", *predict_words(folder, weights, data)[1:]],
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
    value = draw.choice([*NUMBERS, *NUMBERS, *_WORDS[:3]])
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
