"""The facts of a Mask2Former file beside its weights: transformers' `config.json`, its name."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_type_hints

from swin_dense.checkpoints.containers import Checkpoint
from swin_dense.checkpoints.published import find_published
from swin_dense.checkpoints.stored_configs import has_type
from swin_dense.configs import ACTIVATION_NAMES, SwinConfig
from swin_dense.heads.mask2former.config import (
    MASK_TASKS,
    Mask2FormerConfig,
    MaskTask,
    released_stuff_classes,
)

# Tasks of the released models by their number of classes; 150 and 19 are of two tasks, of which
# the number of queries tells (200 for panoptic segmentation) where the name of the file does not.
_RELEASED_TASKS: dict[int, MaskTask] = {
    133: "panoptic",
    150: "semantic",
    65: "semantic",
    19: "semantic",
}
_PANOPTIC_QUERIES = 200
_PUBLISHED_TASKS: dict[str, MaskTask] = {
    "detection": "instance",
    "segmentation": "semantic",
    "panoptic": "panoptic",
}
_NAMED_TASK = re.compile(rf"mask(?:2former|former2).*[-_]({'|'.join(MASK_TASKS)})")
_SEARCHED_PARTS = 4  # of a path: the file, its folder, and of the hub's cache two more

# Their names of what weights do not tell, and ours.
_NOT_IN_WEIGHTS = {
    "pre_norm": "pre_norm",
    "class_weight": "class_weight",
    "mask_weight": "mask_weight",
    "dice_weight": "dice_weight",
    "no_object_weight": "no_object_weight",
    "train_num_points": "num_points",
    "oversample_ratio": "oversample_ratio",
    "importance_sample_ratio": "importance_ratio",
}
# Of what weights tell too.
_COMPARED = {
    "feature_size": "channels",
    "num_attention_heads": "num_heads",
    "encoder_layers": "encoder_layers",
    "encoder_feedforward_dim": "encoder_ffn_channels",
    "dim_feedforward": "decoder_ffn_channels",
    "num_queries": "num_queries",
}
_REQUIRED = {"activation_function": "relu", "common_stride": 4}
_REQUIRED_OF_BACKBONE = {"layer_norm_eps": 1e-5, "use_absolute_embeddings": False}


def complete_config(config: Mask2FormerConfig, checkpoint: Checkpoint) -> Mask2FormerConfig:
    """Complete a config that was read off weights by what else its file holds.

    The task of a file follows from its name, where that is one of the released ones, else from its
    numbers of classes and queries, as of the released models.

    Raises:
        ValueError: `config.json` has values that cannot be, contradicts the weights, or is of a
            model that is not known here.
    """
    hub = checkpoint.metadata.get("hub_config")
    if isinstance(hub, dict) and hub.get("model_type") == "mask2former":
        config = _add_hub_values(config, hub)
    task = _named_task(checkpoint.source) or _usual_task(config)
    return replace(config, task=task, stuff_classes=released_stuff_classes(config.num_classes))


def _named_task(source: str) -> MaskTask | None:
    """The task that a file's name, or its folder's, says it is for; None: neither does."""
    published = find_published(source)
    if published is not None:
        return _PUBLISHED_TASKS.get(published.task)
    for part in Path(source).parts[: -_SEARCHED_PARTS - 1 : -1]:
        if found := _NAMED_TASK.search(part):
            return cast(MaskTask, found[1])
    return None


def _usual_task(config: Mask2FormerConfig) -> MaskTask:
    task = _RELEASED_TASKS.get(config.num_classes, "instance")
    if task == "semantic" and config.num_queries == _PANOPTIC_QUERIES:
        return "panoptic"
    return task


def _add_hub_values(config: Mask2FormerConfig, hub: Mapping[str, object]) -> Mask2FormerConfig:
    """The values of `config.json` that weights do not tell, once the others agree."""
    backbone = hub.get("backbone_config")
    backbone = backbone if isinstance(backbone, dict) else {}
    for stored, required in ((hub, _REQUIRED), (backbone, _REQUIRED_OF_BACKBONE)):
        for name, value in required.items():
            if stored.get(name, value) != value:
                raise ValueError(f"config.json: {name} must be {value}, got {stored[name]!r}")
    compared = {name: getattr(config, ours) for name, ours in _COMPARED.items()}
    compared["mask_feature_size"] = config.mask_channels or config.channels
    compared["hidden_dim"] = config.query_channels or config.channels
    compared["decoder_layers"] = config.decoder_layers + 1  # theirs counts the learned queries
    if not config.encoder_layers:  # whose weights tell these
        del compared["encoder_feedforward_dim"], compared["num_attention_heads"]
    if not config.decoder_layers:
        del compared["dim_feedforward"]
    for name, value in compared.items():
        if name in hub and hub[name] != value:
            raise ValueError(
                f"config.json and the weights contradict each other: {name} is {hub[name]!r} in "
                f"config.json, {value} in the weights"
            )
    values: dict[str, Any] = {
        ours: hub[name] for name, ours in _NOT_IN_WEIGHTS.items() if name in hub
    }
    if not config.encoder_layers and "num_attention_heads" in hub:
        values["num_heads"] = hub["num_attention_heads"]
    hints = get_type_hints(Mask2FormerConfig)
    for ours, value in values.items():
        if not has_type(value, hints[ours]):
            raise ValueError(f"config.json: {ours} must be {hints[ours].__name__}, got {value!r}")
    activation = backbone.get("hidden_act", "gelu")
    if activation not in ACTIVATION_NAMES:
        raise ValueError(
            f"config.json: hidden_act must be one of {', '.join(ACTIVATION_NAMES)}, "
            f"got {activation!r}"
        )
    if isinstance(config.backbone, SwinConfig):
        values["backbone"] = replace(config.backbone, activation=activation)
    return replace(config, **values)
