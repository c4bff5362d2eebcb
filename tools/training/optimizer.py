"""AdamW with the published parameter groups."""

import torch
from torch import nn

from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.optim import AdamWConfig


def parameter_groups(model: Model, *, weight_decay: float) -> list[dict[str, object]]:
    """Split the trainable parameters into those with weight decay and those without.

    Args:
        model: says what is not decayed; parameters with `requires_grad=False` are left out.
        weight_decay: of the first group.

    Returns:
        Two groups for a torch optimiser; a group without parameters is left out.

    Raises:
        ValueError: the model has no trainable parameter.
    """
    names = model.no_weight_decay()
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (undecayed if name in names else decayed).append(parameter)
    if not decayed and not undecayed:
        raise ValueError("the model must have a trainable parameter, got none")
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def create_optimizer(
    model: Model, config: AdamWConfig, *, fused: bool = False
) -> torch.optim.AdamW:
    """AdamW over `parameter_groups(model)`.

    Args:
        model: see `parameter_groups`.
        config: its numbers.
        fused: one pass over memory instead of one an operation, which small models notice; False
            leaves the choice to torch.
    """
    groups = parameter_groups(model, weight_decay=config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused or None)
