"""AdamW with the published parameter groups."""

import torch
from torch import nn

from swin_dense.heads.whole_model import Model
from swin_dense.tools.recipes.optim import AdamWConfig


def parameter_groups(
    model: Model, *, weight_decay: float, backbone_lr: float = 1.0
) -> list[dict[str, object]]:
    """Split the trainable parameters into those with weight decay and those without.

    Args:
        model: says what is not decayed; parameters with `requires_grad=False` are left out.
        weight_decay: of the first group.
        backbone_lr: factor of the learning rate for the backbone; other than 1 its parameters are
            groups of their own.

    Returns:
        Two or four groups for a torch optimiser, each with the factor of its learning rate as
        `lr_factor`; a group without parameters is left out.

    Raises:
        ValueError: the model has no trainable parameter.
    """
    undecayed = model.no_weight_decay()
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for factor in dict.fromkeys((1.0, backbone_lr)):
        groups |= {(factor, True): [], (factor, False): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = backbone_lr if name.startswith("backbone.") else 1.0
            groups[factor, name not in undecayed].append(parameter)
    if not any(groups.values()):
        raise ValueError("the model must have a trainable parameter, got none")
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if is_decayed else 0.0,
            "lr_factor": factor,
        }
        for (factor, is_decayed), parameters in groups.items()
        if parameters
    ]


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
    groups = parameter_groups(
        model, weight_decay=config.weight_decay, backbone_lr=config.backbone_lr
    )
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused or None)
