"""Weights that are spread over the processes (FSDP), and state dicts that are whole in any case.

One process, copies in several (DDP) and shards in several go through the same functions, so that a
checkpoint of one is continued by another.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model


def shard(model: Model, accelerator: Accelerator) -> None:
    """Give each process its part of every weight (Zhao et al. 2023, FSDP; torch's `fully_shard`).

    A block of the backbone is gathered when it is computed, the rest once a step. Weights stay in
    float32; autocast makes the half precision.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in model.pyramid.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Tell whether `shard` has been here."""
    return isinstance(model, FSDPModule)


@contextlib.contextmanager
def _pause_shards(model: FSDPModule) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def pause_sync(model: nn.Module, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Let gradients add up in each process, without an exchange, while it is entered."""
    return _pause_shards(model) if isinstance(model, FSDPModule) else accelerator.no_sync(model)


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """State dict on the host in the main process; empty in others where weights are sharded.

    Every process must call it.
    """
    return cast(dict[str, Tensor], get_model_state_dict(model, options=_whole()))


def load_whole_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put back `whole_weights`, which every process has read."""
    set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True))


def whole_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """As `whole_weights`, of the optimiser; by the names of the parameters."""
    return dict(get_optimizer_state_dict(model, optimizer, options=_whole()))


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Put back a `whole_optimizer_state`, which every process has read."""
    set_optimizer_state_dict(
        model, optimizer, dict(state), options=StateDictOptions(full_state_dict=True)
    )


def whole_copy(model: Model, device: torch.device) -> Model:
    """A model of its own with all the weights of a sharded one, in every process."""
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    copy = create_model(
        model.config,
        backbone=model.config.backbone.without_pretrained(),
        class_names=model.class_names,
        category_ids=model.category_ids,
    ).to(device)
    copy.load_state_dict(state)
    return copy


def _whole() -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, cpu_offload=True)
