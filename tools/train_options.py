"""The flags of `swin-dense train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from swin_dense.tools.recipe import Recipe


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
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Mixed precision; auto: bf16 on a GPU, fp32 on the CPU."""
    accumulate: int = 1
    """Parts that a process computes each step in, to save memory."""
    workers: int = 4
    """Processes that read images, for each training process; 0: none."""
    log_every: int = 50
    """Steps between two lines of the log."""
    save_every: int = 1000
    """Steps between two checkpoints; there is always one at the end."""
    keep: int = 2
    """Checkpoints that stay."""
    evaluate_every: int | None = None
    """Steps between evaluations, 0: only at the end; None: each epoch, or only at the end where the
    length is given in steps."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: GPUs where there are some."""

    def __post_init__(self) -> None:
        for name, least in (("accumulate", 1), ("workers", 0), ("log_every", 1), ("keep", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.out if self.out is not None else Path("runs") / self.recipe.name
