"""Hostile files of weights: values, names, headers, configs, pickles."""

import json
import os
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hostile.cases import BIDI, CANARY, ESCAPE, NAMES, VALUES, Case, predict_words, read_metadata
from hostile.spoiling import replace_somewhere


def weights_values(draw: random.Random, material: Path, folder: Path) -> Case:
    """One value of a weight that no training ends with."""
    state = load_file(material / "detector.safetensors")
    key = draw.choice([key for key, value in state.items() if value.is_floating_point()])
    value = draw.choice([float("nan"), float("inf"), -float("inf"), 1e30, -3e38])
    state[key].view(-1)[draw.randrange(state[key].numel())] = value
    metadata = read_metadata(material)
    save_file(state, folder / "a.safetensors", metadata=metadata)
    return Case(
        family="weights",
        words=predict_words(folder, folder / "a.safetensors"),
        is_wrong=True,
        names=key,
    )


def weights_keys(draw: random.Random, material: Path, folder: Path) -> Case:
    """Names of weights, classes and metadata that a terminal would obey."""
    name = draw.choice([name for name in NAMES if (name and name.isascii()) or name == BIDI])
    state = load_file(material / "detector.safetensors")
    metadata = read_metadata(material) | {draw.choice(["note", name.strip("\0") or "a"]): name}
    metadata["class_names"] = json.dumps([name, "dog"])
    if draw.random() < 0.6:
        state[draw.choice(["backbone.", "", "roi_head."]) + name] = torch.zeros(2)
    save_file(state, folder / "a.safetensors", metadata=metadata)
    command = draw.choice(["inspect", "predict", "convert"])
    if command == "predict":
        return Case(family="keys", words=predict_words(folder, folder / "a.safetensors"))
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
        header[key]["dtype"] = draw.choice(["F128", "", None, 3, ESCAPE, "I8"])
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
    metadata = read_metadata(material, model)
    place = draw.choice(["config", "config", "class_names", "category_ids", "model"])
    if place == "config":
        config = json.loads(metadata["config"])
        replace_somewhere(config, draw, draw.choice(VALUES))
        metadata["config"] = json.dumps(config)
    else:
        metadata[place] = json.dumps(draw.choice(VALUES))
    state = load_file(material / f"{model}.safetensors")
    save_file(state, folder / "a.safetensors", metadata=metadata)
    is_wrong = place in ("class_names", "category_ids")
    return Case(
        family="configs", words=predict_words(folder, folder / "a.safetensors"), is_wrong=is_wrong
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
