"""The flags of `swin-dense train`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from swin_dense.tools.recipe import Recipe
from swin_dense.tools.recipes import find_recipe

_LEAST = {
    "accumulate": 1,
    "workers": 0,
    "log_every": 1,
    "save_every": 0,
    "save_minutes": 0,
    "keep": 1,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a recipe; every field of it is a flag."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path | None = None
    """Folder of the run; None: runs/RECIPE."""
    init: Path | None = None
    """Weights to start from: of a backbone or of a whole model."""
    new_classes: bool = False
    """Let --init have another number of classes; the layers that depend on it start anew."""
    check_only: bool = False
    """Stop after the look at data and model that precedes a run; samples.html in --out shows what
    would be trained on."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Mixed precision; auto: bf16 on a GPU, fp32 on the CPU."""
    scale_lr: bool = False
    """Multiply the learning rate by the batch size over that of the recipe as it is named."""
    ema: float | None = None
    """Keep a mean of the weights with this decay, such as 0.999; it is what is evaluated, and
    ema.safetensors beside model.safetensors. None: no mean."""
    compile: bool = False
    """torch.compile of the backbone in training; pays where all images have one size."""
    fsdp: bool = False
    """Share weights, gradients and optimiser between the processes; so does `accelerate launch
    --use_fsdp`."""
    accumulate: int = 1
    """Parts that a process computes each step in, to save memory."""
    workers: int = 4
    """Processes that read images, for each training process; 0: none."""
    log_every: int = 50
    """Steps between two lines of the log."""
    save_every: int = 1000
    """Steps between two checkpoints, 0: none by steps; there is one before each evaluation and at
    the end."""
    save_minutes: float = 15.0
    """Minutes after which there is a checkpoint anyway, 0: none by time."""
    keep: int = 2
    """Checkpoints that stay, besides the best."""
    evaluate_every: int | None = None
    """Steps between evaluations, 0: only at the end; None: each epoch, or only at the end where the
    length is given in steps."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: GPUs where there are some."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be at least {least}, got {getattr(self, name)}")
        if self.check_only and self.resume:
            raise ValueError("--check-only looks before a run starts, got --resume with it")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"--ema must be between 0 and 1, got {self.ema}")

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.out if self.out is not None else Path("runs") / self.recipe.name


def with_scaled_rate(options: Options) -> Options:
    """The options with what `scale_lr` says done to the recipe (Goyal et al. 2017)."""
    if not options.scale_lr:
        return options
    recipe = options.recipe
    factor = recipe.batch_size / find_recipe(recipe.name).batch_size
    optimizer = replace(recipe.optimizer, lr=recipe.optimizer.lr * factor)
    return replace(options, recipe=replace(recipe, optimizer=optimizer), scale_lr=False)
