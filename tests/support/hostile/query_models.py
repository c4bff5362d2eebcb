"""Hostile files of Mask2Former, in each of its layouts."""

import json
import pickle
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from hostile.cases import ESCAPE, VALUES, Case, predict_words
from hostile.spoiling import replace_somewhere


def query_models(draw: random.Random, material: Path, folder: Path) -> Case:
    """Mask2Former in its layouts with weights that are missing, too many or of other shapes or
    values; with another config beside them; and as a pickle with bytes changed."""
    kind = draw.randrange(4)
    if kind == 0:
        path = folder / "a.pkl"
        content = pickle.loads((material / "queries.pkl").read_bytes())
        _spoil_weights(content["model"], draw)
        path.write_bytes(pickle.dumps(content, draw.choice([2, 4])))
        return Case(family="queries", words=predict_words(folder, path), is_wrong=True)
    if kind == 1:
        state = {k: v.numpy() for k, v in load_file(material / "hub" / "model.safetensors").items()}
        _spoil_weights(state, draw)
        path = folder / "a.safetensors"
        save_file({k: torch.tensor(v) for k, v in state.items()}, path)
        return Case(family="queries", words=predict_words(folder, path), is_wrong=True)
    if kind == 2:
        hub = folder / "hub"
        shutil.copytree(material / "hub", hub)
        stored = json.loads((hub / "config.json").read_text())
        replace_somewhere(stored, draw, draw.choice(VALUES))
        junk = draw.choice(["[" * 10**6, "", "null", "[]", '{"model_type": NaN}'])
        text = json.dumps(stored) if draw.random() < 0.9 else junk
        (hub / "config.json").write_text(text)
        return Case(family="queries", words=predict_words(folder, hub))
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
        state[key + draw.choice(["x", ESCAPE, ".7"])] = state[key]
    elif kind == 2:
        shape = draw.choice([(0,), (), (1, 1, 1, 1, 1), (*state[key].shape, 2), (10**6, 1)])
        state[key] = np.zeros(shape, np.float32)
    else:
        state[key] = np.full_like(state[key], draw.choice([np.nan, np.inf, 1e30]))
