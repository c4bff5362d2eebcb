"""Facts of a file beside its weights: transformers' config.json, and its name."""

import dataclasses

import pytest

from swin_dense.checkpoints.containers import Checkpoint
from swin_dense.configs import SWIN_VARIANTS
from swin_dense.heads.mask2former.config import Mask2FormerConfig
from swin_dense.heads.mask2former.hub_config import complete_config

CONFIG = Mask2FormerConfig(backbone=SWIN_VARIANTS["swin_t"])


def checkpoint_with(source: str = "a/model.safetensors", **hub: object) -> Checkpoint:
    metadata: dict[str, object] = {"hub_config": {"model_type": "mask2former", **hub}}
    return Checkpoint(source, "safetensors", {}, metadata if hub else {})


@pytest.mark.parametrize(
    ("num_classes", "num_queries", "task", "num_stuff"),
    [
        (80, 100, "instance", 0),
        (133, 100, "panoptic", 53),
        (150, 100, "semantic", 50),
        (150, 200, "panoptic", 50),
        (100, 200, "instance", 0),
        (19, 100, "semantic", 11),
    ],
)
def test_the_task_of_a_released_file_follows_from_its_numbers(
    num_classes: int, num_queries: int, task: str, num_stuff: int
) -> None:
    config = dataclasses.replace(CONFIG, num_classes=num_classes, num_queries=num_queries)
    read = complete_config(config, checkpoint_with())
    assert read.task == task
    assert len(read.stuff_classes) == num_stuff


@pytest.mark.parametrize(
    ("source", "task"),
    [
        ("downloads/model_final_ceba0f.pkl", "panoptic"),
        ("cache/mask2former_swin_t_cityscapes_panoptic-model_final_ceba0f.pkl", "panoptic"),
        ("mask2former-swin-small-cityscapes-panoptic/model.safetensors", "panoptic"),
        ("mask2former_swin_t_cityscapes_instance.safetensors", "instance"),
        (
            "models--facebook--mask2former-swin-tiny-cityscapes-panoptic/snapshots/0a1b/"
            "pytorch_model.bin",
            "panoptic",
        ),
        ("panoptic/model.safetensors", "semantic"),
        ("mask2former-panoptic/a/b/c/d/model.safetensors", "semantic"),
    ],
)
def test_the_name_of_a_file_tells_its_task_where_numbers_do_not(source: str, task: str) -> None:
    config = dataclasses.replace(CONFIG, num_classes=19)
    assert complete_config(config, checkpoint_with(source)).task == task


def test_values_that_weights_do_not_tell_are_those_of_the_config() -> None:
    read = complete_config(
        CONFIG,
        checkpoint_with(
            class_weight=1,
            train_num_points=99,
            importance_sample_ratio=0.5,
            pre_norm=True,
            num_queries=100,
            decoder_layers=10,
            backbone_config={"hidden_act": "relu", "layer_norm_eps": 1e-05},
        ),
    )
    assert (read.class_weight, read.num_points, read.importance_ratio) == (1, 99, 0.5)
    assert read.pre_norm
    assert read.backbone == dataclasses.replace(SWIN_VARIANTS["swin_t"], activation="relu")


def test_heads_are_the_configs_where_no_encoder_layer_tells_them() -> None:
    config = dataclasses.replace(CONFIG, encoder_layers=0)
    assert (
        complete_config(config, checkpoint_with(encoder_layers=0, num_attention_heads=4)).num_heads
        == 4
    )


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        ({"num_queries": 50}, "num_queries is 50 in config.json, 100 in the weights"),
        ({"decoder_layers": 9}, "decoder_layers is 9 in config.json, 10 in the weights"),
        ({"hidden_dim": 128}, "hidden_dim is 128 in config.json, 256 in the weights"),
        ({"num_attention_heads": 4}, "num_attention_heads is 4 in config.json, 8 in"),
        ({"activation_function": "gelu"}, "activation_function must be relu, got 'gelu'"),
        ({"common_stride": 8}, "common_stride must be 4, got 8"),
        ({"class_weight": "much"}, "class_weight must be float, got 'much'"),
        ({"train_num_points": 1.5}, "num_points must be int, got 1.5"),
        ({"pre_norm": None}, "pre_norm must be bool, got None"),
        ({"importance_sample_ratio": 7}, "importance_ratio must be in 0..1, got 7"),
        ({"backbone_config": {"hidden_act": "mish"}}, "hidden_act must be one of gelu"),
        ({"backbone_config": {"layer_norm_eps": 1}}, "layer_norm_eps must be 1e-05, got 1"),
    ],
)
def test_a_config_that_cannot_be_is_refused(hub: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        complete_config(CONFIG, checkpoint_with(**hub))


def test_the_config_of_another_model_is_passed_over() -> None:
    checkpoint = checkpoint_with(model_type="maskformer", class_weight="much")
    assert complete_config(CONFIG, checkpoint) == CONFIG
