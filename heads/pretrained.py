"""Folders in the Hugging Face hub's convention: `model.safetensors` beside `config.json`."""

import json
import os
from pathlib import Path

from torch import nn

from swin_dense.heads.checkpoints import describe_model, from_checkpoint, save_model
from swin_dense.heads.whole_model import Model


def save_pretrained(model: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write a whole model into a folder that can be uploaded to the hub as it is.

    Args:
        model: a detector or a segmentor.
        folder: made if absent; `model.safetensors` and `config.json` in it are replaced.

    Raises:
        ValueError: the model is none of ours.
    """
    stored = describe_model(model)
    description = {"library_name": "swin_dense", "model": stored["model"]}
    parts = {key: json.loads(stored[key]) for key in stored if key not in ("format", "model")}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder / "model.safetensors")
    partial = folder / ".config.json.partial"
    partial.write_text(json.dumps(description | parts, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / "config.json")


def from_pretrained(source: str | os.PathLike[str], *, revision: str | None = None) -> Model:
    """Build the model of such a folder, or of a repository of the hub.

    Args:
        source: a folder, or `OWNER/NAME` on the hub: ours, or one in another known layout.
        revision: branch, tag or commit on the hub; None is its main branch.

    Returns:
        The model in eval mode.

    Raises:
        FileNotFoundError: there is no such folder or repository, or no network.
        ValueError: what is there cannot be read safely, or is not known.
    """
    if Path(source).exists():
        if revision is not None:
            raise ValueError(f"revision must be None for the local folder {source}, got {revision}")
        return from_checkpoint(source)
    return from_checkpoint(f"hf://{source}" + (f"@{revision}" if revision else ""))
