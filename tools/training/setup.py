"""The network of a training on its device, in one process or in several."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from swin_dense.heads.model_config import ModelConfig
from swin_dense.heads.models import create_model
from swin_dense.heads.whole_model import Model
from swin_dense.tools.tasks.evaluation import choose_device
from swin_dense.tools.training.distributed.batch_norm import synchronise_norms
from swin_dense.tools.training.distributed.sharding import is_sharded, shard, whole_copy
from swin_dense.tools.training.ema import ModelEMA
from swin_dense.tools.training.optimizer import create_optimizer
from swin_dense.tools.training.options import Options

_COPIES = 4  # of the weights in float32: themselves, gradients, both moments of AdamW
_FSDP_VARIABLE = "ACCELERATE_USE_FSDP"  # set by `accelerate launch --use_fsdp` and its config file


@dataclass(frozen=True)
class Trained:
    """A model in training.

    Attributes:
        model: the whole model, whose parameters are trained; sharded, if it is.
        network: what the loop calls: the model, or what keeps its copies in step.
        raw_optimizer: of its parameters.
        optimizer: the same for the loop, with the loss scaler.
        average: of the weights, if one is kept.
        device: of the model.
    """

    model: Model
    network: nn.Module
    raw_optimizer: torch.optim.Optimizer
    optimizer: torch.optim.Optimizer
    average: ModelEMA | None
    device: torch.device

    def update_ema(self) -> None:
        """Bring the average, if there is one, up to the weights."""
        if self.average is not None:
            self.average.update()

    @contextmanager
    def for_evaluation(self) -> Iterator[Model]:
        """A whole model, uncompiled: with the averaged weights, if there are some."""
        with ExitStack() as stack:
            if self.average is not None:
                stack.enter_context(self.average.in_place())
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield whole_copy(self.model, self.device) if is_sharded(self.model) else self.model


def resolve_launcher(options: Options) -> Options:
    """The options with `fsdp` where the launcher asks for it.

    accelerate's own way there is closed: it shards on GPUs only, rounds the weights themselves to
    half precision, and keeps weights with and without decay apart in its second version alone.
    """
    asked = os.environ.pop(_FSDP_VARIABLE, "false").lower() == "true"
    return replace(options, fsdp=options.fsdp or asked)


def create_accelerator(options: Options) -> Accelerator:
    """Device, processes and precision.

    Raises:
        ValueError: there is no GPU where the flags need one.
    """
    choose_device(options.device)
    on_cpu = options.device == "cpu" or not torch.cuda.is_available()
    precision = options.precision
    if precision == "auto":
        precision = "fp32" if on_cpu or not torch.cuda.is_bf16_supported() else "bf16"
    if precision == "fp16" and on_cpu:
        raise ValueError("--precision fp16 must have a GPU, got the CPU; use bf16 or fp32")
    return Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        cpu=on_cpu,
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )


def check_model_memory(config: ModelConfig, device: torch.device) -> None:
    """Refuse a model whose weights, gradients and moments alone are more than the memory.

    It is built without memory for it.

    Raises:
        ValueError: it does not fit, or torch cannot count its weights.
    """
    plain = replace(config, backbone=config.backbone.without_pretrained())
    try:
        with torch.device("meta"):
            model = create_model(plain)
    except (RuntimeError, OverflowError) as error:  # a product of sizes beyond 64 bits
        reason = str(error).splitlines()[0]
        raise ValueError(f"no model of these sizes can be built: {reason}") from error
    num_values = sum(parameter.numel() for parameter in model.parameters())
    needed = _COPIES * 4 * num_values
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        there = min(there, torch.cuda.get_device_properties(device).total_memory)
    if needed > there:
        raise ValueError(
            f"a model in training must fit into the memory, got {num_values / 1e6:.0f} million "
            f"weights, which take {needed / 1e9:.1f} GB, and {there / 1e9:.1f} GB of memory"
        )


def distribute(model: Model, options: Options, accelerator: Accelerator) -> Trained:
    """Put a model with its first weights onto the device and the processes, with an optimiser."""
    num_processes, device = accelerator.num_processes, accelerator.device
    model = synchronise_norms(model, num_processes=num_processes, device=device)
    if options.fsdp and num_processes > 1:
        shard(model.to(device), accelerator)
    fused = device.type == "cpu" and not is_sharded(model)
    raw_optimizer = create_optimizer(model, options.recipe.optimizer, fused=fused)
    network: Any = model
    if is_sharded(model):
        optimizer = accelerator.prepare_optimizer(raw_optimizer)
    else:
        network, optimizer = accelerator.prepare(model, raw_optimizer)
    if options.compile:
        model.backbone.compile()
    average = None if options.ema is None else ModelEMA(model, decay=options.ema)
    return Trained(model, network, raw_optimizer, optimizer, average, device)
