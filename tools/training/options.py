"""The flags of `swin-dense train`."""

from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from swin_dense.datasets.files import MAX_MEGAPIXELS, MEGAPIXELS
from swin_dense.heads.model_config import ModelConfig
from swin_dense.ranges import Ranges, check_ranges
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe, unchanged

_LEAST = {
    "accumulate": 1,
    "workers": 0,
    "log_every": 1,
    "save_every": 0,
    "save_minutes": 0,
    "keep": 1,
    "evaluate_every": 0,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a recipe; every field of it is a flag."""

    ranges: ClassVar[Ranges] = {
        "accumulate": (1, 2**14),
        "workers": (0, 256),
        "save_minutes": (0, 10**6),
        **dict.fromkeys(("log_every", "keep"), (1, 10**9)),
        **dict.fromkeys(("save_every", "evaluate_every"), (0, 10**9)),
        "max_megapixels": MEGAPIXELS,
    }

    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path | None = None
    """Folder of the run; None: runs/RECIPE."""
    init: Path | None = None
    """Weights to start from: of a backbone or of a whole model; or the folder of a run."""
    model_from_init: bool = False
    """Take the architecture from --init, the file of a whole model, and of the recipe's model only
    what matters in training: drop path, frozen stages and gradient checkpointing."""
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
    """torch.compile of the backbone in training, for batches whose images have one size; others
    run as they are."""
    fsdp: bool = False
    """Share weights, gradients and optimiser between the processes; so does `accelerate launch
    --use_fsdp`."""
    accumulate: int = 1
    """Parts that a process computes each step in, to save memory."""
    workers: int = 4
    """Processes that read images, for each training process; 0: none."""
    max_megapixels: float = MAX_MEGAPIXELS
    """Images that state more than this are not read."""
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
    """Steps between evaluations, 0: only at the end; None: 300 in the recipes for small sets, else
    each epoch, or only at the end where the length is given in steps."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto: GPUs where there are some."""
    track: Literal["wandb", "mlflow", "comet_ml", "aim"] | None = None
    """Experiment tracker that gets figures, recipe and pictures, too; without a login or a server
    it writes to the disk."""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if (getattr(self, name) or 0) < least:
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} must be at least {least}, got {getattr(self, name)}")
        check_ranges(self, as_flags=True)
        recipe = self.recipe
        if recipe.steps is not None and recipe.epochs != unchanged(recipe).epochs:
            raise ValueError(
                f"--epochs must be without a length in steps, got {recipe.epochs} and --steps "
                f"{recipe.steps}; add --steps None"
            )
        if self.model_from_init and self.init is None:
            raise ValueError("--model-from-init must have the file of a whole model as --init")
        if self.check_only and self.resume:
            raise ValueError("--check-only looks before a run starts, got --resume with it")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"--ema must be between 0 and 1, got {self.ema}")
        if self.track is not None and find_spec(self.track) is None:
            raise ValueError(
                f"--track {self.track} must have the package {self.track}, which is not installed; "
                f"pip install {self.track}"
            )

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.out if self.out is not None else Path("runs") / self.recipe.name


def with_scaled_lr(options: Options) -> Options:
    """The options with the learning rate scaled, where `scale_lr` is set (Goyal et al. 2017)."""
    if not options.scale_lr:
        return options
    recipe = options.recipe
    factor = recipe.batch_size / find_recipe(recipe.name).batch_size
    optimizer = replace(recipe.optimizer, lr=recipe.optimizer.lr * factor)
    return replace(options, recipe=replace(recipe, optimizer=optimizer), scale_lr=False)


def with_model_of_init(options: Options) -> Options:
    """The options with the architecture of `init`, where `model_from_init` is set.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no whole model, or one of another task; or the architecture was also
            changed by flags.
    """
    if not options.model_from_init or options.init is None:
        return options
    from swin_dense.heads.checkpoints import from_checkpoint  # the flags alone need no torch

    recipe = options.recipe
    in_training = {
        name: getattr(recipe.model.backbone, name)
        for name in ("drop_path_rate", "frozen_stages", "gradient_checkpointing")
    }

    def with_recipes(model: ModelConfig) -> ModelConfig:
        if isinstance(model, kind := type(recipe.model)):  # a Mask R-CNN is a Faster R-CNN and more
            model = kind(**{field.name: getattr(model, field.name) for field in fields(kind)})
        backbone = replace(model.backbone, **in_training)
        return replace(model, backbone=backbone, num_classes=recipe.model.num_classes)

    if recipe.model != with_recipes(unchanged(recipe).model):
        raise ValueError(
            "--model-from-init must be without flags that change the architecture (--model...), "
            f"which is that of {options.init}"
        )
    model = from_checkpoint(options.init)
    if model.task != recipe.task:
        raise ValueError(
            f"--model-from-init must have a file for {recipe.task}, got one for {model.task} in "
            f"{options.init}"
        )
    return replace(
        options, recipe=replace(recipe, model=with_recipes(model.config)), model_from_init=False
    )
