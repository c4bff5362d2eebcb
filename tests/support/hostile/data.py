"""Hostile data: annotations, lists of classes, label maps, images."""

import json
import random
from pathlib import Path

import cv2
import numpy as np
from coco_writer import coco_content, write_coco

from hostile.cases import BIDI, ESCAPE, VALUES, Case, evaluate_words, predict_words
from hostile.material import write_scenes
from hostile.spoiling import (
    change_bytes,
    make_bmp,
    make_jpeg,
    make_png,
    make_special,
    replace_somewhere,
)


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
        replace_somewhere(content, draw, draw.choice(VALUES))
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
        "escapes": (f"name\n{ESCAPE}\n{BIDI}\n".encode(), False),
        "huge numbers": (b"label,name\n" + b"9" * 9000 + b",cat\n1,dog\n", True),
        "empty": (b"", True),
    }
    name = draw.choice(list(choices))
    content, is_wrong = choices[name]
    (root / "classes.csv").write_bytes(content)
    if draw.random() < 0.15:
        (root / "classes.csv").unlink()
        make_special(root / draw.choice(["classes.txt", "classes.csv"]), draw)
        is_wrong = True
    return Case(family="classes", words=evaluate_words(material, root), is_wrong=is_wrong)


def label_maps(draw: random.Random, material: Path, folder: Path) -> Case:
    """Label maps that are damaged, giant, coloured, out of range, or no files."""
    root = folder / "scenes"
    write_scenes(root)
    path = root / "annotations" / "validation" / "a.png"
    kind = draw.randrange(5)
    if kind == 0:
        path.write_bytes(make_png(30_000, 30_000))
    elif kind == 1:
        path.unlink()
        make_special(path, draw)
    elif kind == 2:
        cv2.imwrite(str(path), np.full((40, 60), draw.choice([3, 77, 254]), np.uint8))
    elif kind == 3:
        cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))
    else:
        change_bytes(path, draw)
    words = evaluate_words(material, root)
    return Case(family="label maps", words=words, is_wrong=kind < 4)


def images(draw: random.Random, material: Path, folder: Path) -> Case:
    """Images that are damaged, giant, no images, no files, or named to be obeyed."""
    path, kind = folder / "a.png", draw.randrange(6)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    if kind == 0:
        path.write_bytes(draw.choice([make_png, make_jpeg, make_bmp])(30_000, 30_000))
    elif kind == 1:
        path.unlink()
        make_special(path, draw)
    elif kind == 2:
        path.write_bytes(draw.choice([b"", b"text", bytes(1000), draw.randbytes(5000)]))
    elif kind == 3:
        name = draw.choice([ESCAPE, BIDI, "[red]", "a\nb", "\udcff", "x" * 200]) + ".png"
        path = path.rename(folder / name)
        if draw.random() < 0.5:
            path.write_bytes(b"")
    else:
        change_bytes(path, draw)
    is_wrong = kind < 3
    source = path
    if draw.random() < 0.3:  # in a folder, one that cannot be read is left out and named
        source = folder / "pictures"
        source.mkdir()
        path.rename(source / path.name)
    weights = material / draw.choice(["detector.safetensors", "segmentor.safetensors"])
    words = predict_words(folder, weights, source)
    if draw.random() < 0.3:  # notes what it cannot read, unless it is no file
        words, is_wrong = ["features", *words[1:]], kind == 1 and source == path
    return Case(family="images", words=words, is_wrong=is_wrong)
