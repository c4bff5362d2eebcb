"""Backbones of any kind in folders of the hub's convention, and on the hub."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import nn

from swin_dense.adapters.hub.cards import CardContent, write_card
from swin_dense.adapters.hub.repositories import (
    find_folder,
    push,
    write_folder,
    write_safetensors,
)
from swin_dense.checkpoints.architecture import backbone_from_checkpoint, build_loaded, check_fit
from swin_dense.checkpoints.containers import Checkpoint, read_checkpoint
from swin_dense.checkpoints.conversion import convert_checkpoint, own_layout
from swin_dense.checkpoints.stored_configs import build_backbone_config, config_as_json
from swin_dense.configs import BackboneConfig

_CODE = """backbone = sd.{cls}.from_pretrained("{{source}}")
pyramid = backbone(pixels)  # (B, 3, H, W) normalised, any H and W"""


def save_pretrained(
    backbone: nn.Module,
    folder: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    source: str | None = None,
) -> None:
    """Write a backbone into a folder; see `HubMethods.save_pretrained`.

    Args:
        backbone: any that its config builds.
        folder: where to.
        metrics: for the card.
        dataset: for the card.
        source: where the card says it is; None: the folder's name.

    Raises:
        ValueError: the backbone has no config, or other weights than its config says.
    """
    config = _config_of(backbone)
    stored = config_as_json(config)
    metadata = {"format": "pt", "backbone": json.dumps(stored)}
    content = CardContent(
        title=config.title,
        task="features",
        num_parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        code=_CODE.format(cls=type(backbone).__name__),
        metrics=metrics,
        dataset=dataset,
    )
    write_folder(
        folder,
        lambda path: write_safetensors(path, backbone.state_dict(), metadata=metadata),
        config={"library_name": "swin_dense", "backbone": stored},
        card=lambda: write_card(content, source=source or os.path.basename(folder)),
    )


def from_pretrained(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | bool = False
) -> nn.Module:
    """Build the backbone of a folder or repository, alone or within a whole model.

    Args:
        source: see `HubMethods.from_pretrained`; also a file, of any published layout.
        revision: see there.
        token: see there.

    Returns:
        The backbone in eval mode.

    Raises:
        FileNotFoundError: see there.
        ValueError: see there.
    """
    path = find_folder(source, revision=revision, token=token)
    checkpoint = read_checkpoint(path)
    stored = _stored_config(checkpoint)
    if stored is None:
        return backbone_from_checkpoint(path)
    try:
        config = build_backbone_config(stored, where="backbone").without_pretrained()
    except ValueError as error:
        raise ValueError(f"{checkpoint.source}: {error}") from error
    converted = convert_checkpoint(checkpoint)
    return build_loaded(config.build, converted, source=checkpoint.source)


def push_to_hub(
    backbone: nn.Module,
    repo_id: str,
    *,
    metrics: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    token: str | bool = False,
    **options: Any,
) -> str:
    """Upload a backbone; see `HubMethods.push_to_hub`."""

    def write(folder: Path) -> None:
        save_pretrained(backbone, folder, metrics=metrics, dataset=dataset, source=repo_id)

    return push(write, repo_id, token=token, **options)


def _config_of(backbone: nn.Module) -> BackboneConfig:
    """The config that builds a backbone with these weights."""
    config = getattr(backbone, "config", None)
    name = type(backbone).__name__
    if not isinstance(config, BackboneConfig):
        raise ValueError(f"backbone must have a config that builds it, got {name}")
    config = config.without_pretrained()
    check_fit(config.build, own_layout(backbone.state_dict()), source=f"this {name}")
    return config


def _stored_config(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The backbone's config in one of our files; None in others."""
    stored = checkpoint.metadata.get("backbone")
    whole = checkpoint.metadata.get("config")
    if stored is None and "model" in checkpoint.metadata and isinstance(whole, dict):
        stored = whole.get("backbone")
    return cast(Mapping[str, Any], stored) if isinstance(stored, dict) else None
