"""Whole models in folders of the Hugging Face hub's convention, and on the hub."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from swin_dense.adapters.hub.cards import CardContent, write_card
from swin_dense.adapters.hub.repositories import find_folder, push, write_folder
from swin_dense.checkpoints.loading import describe_module
from swin_dense.heads.checkpoints import describe_model, from_checkpoint, save_model
from swin_dense.heads.whole_model import Model

_CODE = """model = sd.heads.from_pretrained("{source}")
results = model.predict(images)  # (3, H, W) uint8 RGB each"""


def save_pretrained(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    source: str | None = None,
) -> None:
    """Write a whole model into a folder that can be uploaded to the hub as it is.

    Args:
        model: a detector or a segmentor.
        folder: made if absent; `model.safetensors` and `config.json` in it are replaced, a
            `README.md` stays as it is.
        metrics: for the model card, as `evaluate` gives them.
        dataset: they were measured on, for the card.
        source: where the card says the model is; None: the folder's name.

    Raises:
        ValueError: the model is none of ours.
    """
    stored = describe_model(model)
    description = {"library_name": "swin_dense", "model": stored["model"]}
    parts = {key: json.loads(stored[key]) for key in stored if key not in ("format", "model")}
    write_folder(
        folder,
        lambda path: save_model(model, path),
        config=description | parts,
        card=lambda: write_card(
            _describe(model, metrics=metrics, dataset=dataset),
            source=source or os.path.basename(folder),
        ),
    )


def from_pretrained(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | bool = False
) -> Model:
    """Build the model of such a folder, or of a repository of the hub.

    Args:
        source: a folder, or `OWNER/NAME` on the hub: ours, or one in another known layout.
        revision: branch, tag or commit on the hub; None is its main branch.
        token: for a private repository; True: the one that this machine has stored, or its
            environment holds. Neither is read unless asked for.

    Returns:
        The model in eval mode.

    Raises:
        FileNotFoundError: there is no such folder or repository, or no network.
        ValueError: what is there cannot be read safely, or is not known.
    """
    return from_checkpoint(find_folder(source, revision=revision, token=token))


def push_to_hub(
    model: nn.Module,
    repo_id: str,
    *,
    metrics: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    token: str | bool = False,
    **options: Any,
) -> str:
    """Upload a whole model into a repository of the hub, which is made if absent.

    Args:
        model: a detector or a segmentor.
        repo_id: `OWNER/NAME`.
        metrics: see `save_pretrained`.
        dataset: see there.
        token: see `from_pretrained`.
        options: of huggingface_hub's `ModelHubMixin.push_to_hub`, such as `private`.

    Returns:
        The address of the commit.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        ValueError: the hub refuses it, or the model is none of ours.
    """

    def write(folder: Path) -> None:
        save_pretrained(model, folder, metrics=metrics, dataset=dataset, source=repo_id)

    return push(write, repo_id, token=token, **options)


def _describe(
    model: nn.Module, *, metrics: Mapping[str, Any] | None, dataset: str | None
) -> CardContent:
    assert isinstance(model, Model)  # else there would be no description of it
    return CardContent(
        title=describe_module(model),
        task=model.task,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        code=_CODE,
        class_names=model.class_names,
        category_ids=model.category_ids,
        num_classes=model.config.num_classes,
        metrics=metrics,
        dataset=dataset,
    )
