"""Train the demo's Mask2Former beside transformers' with its own loss, in the same time.

    cd benchmarks
    python -m learning.mask2former_demo --data ../demo/data [--minutes 10] [--names transformers]

Both have the recipe's sizes, random weights, data, batches, optimiser and schedule; the learning
rate falls to 0 at the end of the time, which is that of the training alone. transformers' loss has
its own number of points unless `--points` says another. Segments are made of the last layer's
logits by the same code, as released and as the recipe says, and scored as COCO's evaluator does.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring.machine import describe_machine
from torch import Tensor, nn
from transformers import Mask2FormerConfig as TheirConfig
from transformers import Mask2FormerForUniversalSegmentation
from transformers import SwinConfig as TheirSwinConfig

from swin_dense.datasets.samplers import AspectRatioGroupedBatchSampler
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.query_masks import QueryMasks
from swin_dense.heads.mask2former.results import panoptic_result
from swin_dense.heads.whole_model import Model
from swin_dense.padding import ImageBatch, batch_images
from swin_dense.tools.recipes.optim import AdamWConfig
from swin_dense.tools.recipes.recipe import Recipe
from swin_dense.tools.recipes.table import find_recipe
from swin_dense.tools.tasks.evaluation import evaluation_loader
from swin_dense.tools.tasks.panoptic.panoptic_task import PanopticTask
from swin_dense.tools.training.loaders import TrainingBatchSampler, training_loader
from swin_dense.tools.training.optimizer import create_optimizer

NAMES = ("transformers", "swin_dense")
_RECIPE = "mask2former_demo"
_ENDLESS = 10**7  # steps; the time ends the training
TASK = PanopticTask()

Targets = Sequence[dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A model that is trained and scored.

    Attributes:
        model: ours, whose config and classes both have.
        network: what is trained: it, or transformers'.
        loss: of a batch with its targets.
        outputs: logits of the last layer's classes and masks.
    """

    model: Any
    network: nn.Module
    loss: Callable[[ImageBatch, Targets], Tensor]
    outputs: Callable[[ImageBatch], tuple[Tensor, Tensor]]


def main() -> None:
    """Print one row per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--points", type=int, help="points of transformers' loss")
    parser.add_argument("--names", nargs="+", choices=NAMES, default=NAMES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = find_recipe(_RECIPE)
    recipe = replace(recipe, data=replace(recipe.data, root=arguments.data))
    print(f"{_RECIPE}, {arguments.minutes:g} minutes each; {describe_machine()}")
    print(f"{'':>14}{'steps':>8}{'ms a step':>11}{'merging':>10}{'PQ':>8}{'things':>8}{'stuff':>8}")
    for name in arguments.names:
        torch.manual_seed(recipe.seed)
        learner = make_learner(name, recipe, arguments.points)
        steps = train(learner, recipe, seconds=60 * arguments.minutes)
        pace = 60_000 * arguments.minutes / steps
        for merging, scores in evaluate(learner, recipe).items():
            values = "".join(f"{scores[key]:8.3f}" for key in ("PQ", "PQ_things", "PQ_stuff"))
            print(f"{name:>14}{steps:8}{pace:11.0f}{merging:>10}{values}", flush=True)


def make_learner(name: str, recipe: Recipe, num_points: int | None) -> Learner:
    """One of the two models with random weights."""
    model = TASK.create_model(recipe.model, TASK.training_data(recipe.data, seed=0))
    if name == "swin_dense":
        return Learner(
            model=model,
            network=model,
            loss=lambda images, targets: torch.stack([*model(images, targets).values()]).sum(),
            outputs=model.outputs,
        )
    theirs = Mask2FormerForUniversalSegmentation(their_config(model.config, num_points))

    def loss(images: ImageBatch, targets: Targets) -> Tensor:
        masks = [target["masks"].float() for target in targets]
        labels = [target["labels"] for target in targets]
        return theirs(images.pixels, mask_labels=masks, class_labels=labels).loss

    def outputs(images: ImageBatch) -> tuple[Tensor, Tensor]:
        found = theirs(images.pixels)
        return found.class_queries_logits, found.masks_queries_logits

    return Learner(model=model, network=theirs, loss=loss, outputs=outputs)


def their_config(config: Mask2FormerConfig, num_points: int | None) -> TheirConfig:
    """transformers' config of the same sizes; its decoder counts one layer more than there are."""
    swin = config.backbone
    backbone = TheirSwinConfig(
        embed_dim=swin.embed_dim,
        depths=list(swin.depths),
        num_heads=list(swin.num_heads),
        window_size=swin.window_size,
        patch_size=swin.patch_size,
        mlp_ratio=swin.mlp_ratio,
        drop_path_rate=swin.drop_path_rate,
        out_features=[f"stage{stage}" for stage in range(1, 5)],
    )
    points = {} if num_points is None else {"train_num_points": num_points}
    return TheirConfig(
        backbone_config=backbone,
        feature_size=config.channels,
        mask_feature_size=config.channels,
        hidden_dim=config.channels,
        num_attention_heads=config.num_heads,
        encoder_layers=config.encoder_layers,
        encoder_feedforward_dim=config.encoder_ffn_channels,
        decoder_layers=config.decoder_layers + 1,
        dim_feedforward=config.decoder_ffn_channels,
        num_queries=config.num_queries,
        num_labels=config.num_classes,
        dropout=0.0,
        **points,
    )


def train(learner: Learner, recipe: Recipe, *, seconds: float) -> int:
    """Train for a time; gives the number of steps."""
    network = learner.network
    optimizer = make_optimizer(network, recipe.optimizer)
    network.train()
    batches = _batches(recipe)
    start, step = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        # As many steps as there will be at this pace: the schedule then ends with the time.
        expected = max(step + 1, round(step * seconds / max(passed, 1e-9)))
        lr = recipe.optimizer.lr * recipe.schedule.factor(step, num_steps=expected)
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, targets = TASK.prepare(next(batches), torch.device("cpu"), data=recipe.data)
        learner.loss(images, targets).backward()
        if recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    return step


def make_optimizer(network: nn.Module, config: AdamWConfig) -> torch.optim.Optimizer:
    """AdamW; norms, embeddings and position tables are not decayed in either model."""
    if isinstance(network, Model):
        return create_optimizer(network, config, fused=True)
    kinds = (nn.LayerNorm, nn.GroupNorm, nn.Embedding)
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for module in network.modules():
        for parameter_name, parameter in module.named_parameters(recurse=False):
            is_table = "relative_position" in parameter_name
            groups[not (isinstance(module, kinds) or is_table)].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": config.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=config.lr,
        betas=config.betas,
        fused=True,
    )


def _batches(recipe: Recipe) -> Iterator[list[Any]]:
    """The batches that `swin-dense train` takes, in its order."""
    dataset = TASK.training_data(recipe.data, seed=recipe.seed)
    epochs = AspectRatioGroupedBatchSampler(
        TASK.aspect_ratios(dataset), recipe.batch_size, seed=recipe.seed
    )
    sampler = TrainingBatchSampler(epochs, num_steps=_ENDLESS)
    return iter(training_loader(dataset, sampler, num_workers=0))


@torch.no_grad()
def evaluate(learner: Learner, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The scores on the validation images by either way of merging masks that overlap."""
    learner.network.eval()
    config = learner.model.config
    released = Mask2FormerConfig(backbone=config.backbone)
    ways = {
        "released": replace(
            config,
            panoptic_merging=released.panoptic_merging,
            visible_share=released.visible_share,
        ),
        "recipe's": config,
    }
    dataset = TASK.evaluation_data(recipe.data, scale=recipe.data.scale)
    batches = evaluation_loader(dataset, batch_size=1, num_workers=0)
    found = [(samples, _query_masks(learner, samples)) for samples in batches]
    return {
        name: TASK.evaluate(
            learner.model,
            dataset,
            ((samples, [panoptic_result(each, way) for each in masks]) for samples, masks in found),
        ).metrics
        for name, way in ways.items()
    }


def _query_masks(learner: Learner, samples: Sequence[Any]) -> list[QueryMasks]:
    images = batch_images([sample["image"] for sample in samples], "cpu")
    images = images.padded_to_multiple(learner.model.config.size_divisor)
    frame = (images.pixels.shape[-2], images.pixels.shape[-1])
    rows = zip(*learner.outputs(images), images.sizes, samples, strict=True)
    return [
        QueryMasks(classes, masks, frame, size, tuple(sample["original_size"]))
        for classes, masks, size, sample in rows
    ]


if __name__ == "__main__":
    main()
