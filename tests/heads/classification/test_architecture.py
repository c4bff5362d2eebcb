"""Names of the classes of published classifiers."""

from pathlib import Path

import pytest
import torch

from swin_dense.configs import SwinConfig
from swin_dense.heads import create_model, from_checkpoint
from swin_dense.heads.checkpoints import save_model
from swin_dense.heads.classification.architecture import is_classifier, released_class_names
from swin_dense.heads.classification.config import ClassifierConfig


def test_imagenets_1000_classes_have_names_and_its_21841_do_not() -> None:
    names = released_class_names(1000, None)
    assert names is not None
    assert (names[0], names[999]) == ("tench", "toilet tissue")
    assert released_class_names(21841, ["LABEL"] * 21841) is None
    assert released_class_names(3, ("a", "b", "c")) == ("a", "b", "c")
    assert released_class_names(3, None) is None


@pytest.mark.parametrize("is_ours", [True, False])
def test_names_are_given_to_published_files_alone(is_ours: bool, tmp_path: Path) -> None:
    backbone = SwinConfig(
        embed_dim=8, depths=(1, 1), num_heads=(1, 1), window_size=2, out_indices=(1,)
    )
    model = create_model(ClassifierConfig(backbone=backbone, num_classes=1000))
    if is_ours:
        save_model(model, tmp_path / "a.safetensors")
    else:
        torch.save(model.state_dict(), tmp_path / "a.safetensors")
    names = from_checkpoint(tmp_path / "a.safetensors").class_names
    assert (names is None) == is_ours


def test_weights_with_other_heads_are_no_classifiers() -> None:
    one = torch.zeros(1)
    assert is_classifier({"backbone.a": one, "head.weight": one})
    assert not is_classifier({"backbone.a": one, "head.weight": one, "neck.a": one})
    assert not is_classifier({"backbone.a": one})
