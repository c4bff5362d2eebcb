"""The page on other libraries: its examples run, on a small backbone and a few drawn images."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import swin_dense as sd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "other_libraries.md"
TINY = sd.SwinConfig(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2)
WEIGHTS = "swin_tiny_patch4_window7_224"
# What keeps an example short: sizes and lengths in it, and what they become.
SMALLER = {
    "range(50)": "range(1)",
    "range(12)": "range(1)",
    "num_train=200, num_val=20": "num_train=4, num_val=1, size=64",
    "scale=(480, 360)": "scale=(64, 64)",
    "crop=(320, 320)": "crop=(32, 32)",
    "batch_size=8": "batch_size=2",
    "long_side=192, short_sides=(128, 160)": "long_side=64, short_sides=(64,)",
    "num_classes=81": "num_classes=81, min_size=64, max_size=96",
    "min_size=128, max_size=192": "min_size=64, max_size=96",
    '"middle": (1, 192': '"middle": (1, 16',
    'create_model("upernet_swin_t"': "create_model(SMALL_UPERNET",
    "auxiliary_in_channels=384": "auxiliary_in_channels=32, hidden_size=8, auxiliary_channels=8",
}


def code_of(title: str) -> list[str]:
    """The Python blocks under a heading, up to the next of any level."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, title
    return re.findall(r"^```python\n(.*?)^```$", found[1], re.DOTALL | re.MULTILINE)


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Names for the examples, in a folder with weights; `swin_t` is a small backbone there."""
    torch.manual_seed(0)
    for variants in (sd.SWIN_VARIANTS, sd.BACKBONE_VARIANTS):
        monkeypatch.setitem(variants, "swin_t", TINY)
    monkeypatch.chdir(tmp_path)
    state = sd.create_backbone(TINY).state_dict()
    weights = {key: value for key, value in state.items() if not key.startswith("norm")}
    weights |= {"norm.weight": torch.ones(64), "norm.bias": torch.zeros(64)}
    weights |= {"head.weight": torch.zeros(5, 64), "head.bias": torch.zeros(5)}
    for name in (WEIGHTS, f"{WEIGHTS}.pth"):
        torch.save({"model": weights}, name)
    upernet = sd.heads.UPerNetConfig(
        backbone=TINY, num_classes=2, decoder_channels=8, auxiliary_channels=None
    )
    return {"SMALL_UPERNET": upernet}


def run(code: str, names: dict[str, object]) -> None:
    for large, small in SMALLER.items():
        code = code.replace(large, small)
    exec(compile(code, PAGE.name, "exec"), names)


def test_timm(names: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm", reason="needs timm")
    first, second = code_of("timm")
    run(first, names)
    assert [tuple(level.shape) for level in names["maps"]] == [
        (2, 16, 13, 19),
        (2, 32, 7, 10),
        (2, 64, 4, 5),
    ]
    assert names["logits"].shape == (2, 10)
    assert capsys.readouterr().out == "[16, 32, 64] [8, 16, 32]\n"
    run(second, names)
    kernel = torch.load(f"{WEIGHTS}.pth")["model"]["patch_embed.proj.weight"]
    assert torch.equal(names["backbone"].model.patch_embed.proj.weight, kernel)


def test_a_u_net_on_camvid(names: dict[str, object]) -> None:
    pytest.importorskip("segmentation_models_pytorch", reason="needs segmentation_models_pytorch")
    pytest.importorskip("timm", reason="needs timm")
    sd.datasets.write_shapes("drawn", num_train=3, num_val=1, size=48)
    for folder, source in (("train", "images"), ("trainannot", "annotations")):
        (Path("camvid") / folder).mkdir(parents=True)
        for file in sorted((Path("drawn") / source / "training").iterdir()):
            pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(Path("camvid") / folder / f"{file.stem}.png"), pixels)
    Path("camvid/classes.txt").write_text(
        "void\n" + Path("drawn/classes.txt").read_text(), encoding="utf-8"
    )
    cv2.imwrite("street.jpg", np.zeros((37, 53, 3), np.uint8))
    (code,) = code_of("A U-Net on CamVid")
    run(code, names)
    assert names["label_map"].shape == (37, 53)
    assert torch.isfinite(torch.stack(names["losses"])).all()
    kernel = names["model"].encoder.model.model.patch_embed.proj.weight
    loaded = torch.load(WEIGHTS)["model"]["patch_embed.proj.weight"]
    assert 0 < (kernel - loaded).abs().max() < 1e-2  # it began there, and was trained


def test_torchvision(names: dict[str, object]) -> None:
    first, second = code_of("torchvision")
    run(first, names)
    assert names["backbone"].out_channels == 256
    assert names["found"]["boxes"].shape[1:] == (4,)
    run(second, names)
    assert list(names["backbone"](torch.zeros(1, 3, 64, 64))) == ["0", "1", "2", "p6", "p7"]


def test_an_fcos_on_shapes(names: dict[str, object]) -> None:
    (code,) = code_of("An FCOS on shapes")
    run(code, names)
    assert all(torch.isfinite(loss) for loss in names["losses"].values())
    kernel = names["backbone"].body.patch_embed.proj.weight
    loaded = torch.load(f"{WEIGHTS}.pth")["model"]["patch_embed.proj.weight"]
    assert 0 < (kernel - loaded).abs().max() < 1e-2
    assert names["found"]["boxes"].shape[1:] == (4,)


def test_torch_fx_and_anomalib(names: dict[str, object]) -> None:
    tracing, anomalies = code_of("torch.fx and anomalib")
    run(tracing, names)
    shapes = {name: tuple(maps.shape) for name, maps in names["maps"].items()}
    assert shapes == {"middle": (1, 16, 10, 14), "coarse": (1, 64, 3, 4)}
    pytest.importorskip("anomalib", reason="needs anomalib, which no extra installs")
    run(anomalies, names)
    scores = names["scores"]
    assert len(scores) == 10
    assert scores[0] > 2 * scores[1:].max()


def test_transformers(names: dict[str, object]) -> None:
    pytest.importorskip("transformers", reason="needs transformers")
    (code,) = code_of("transformers")
    run(code, names)
    assert names["logits"].shape == (1, 19, 96, 130)
    kernel = names["model"].backbone.swin.patch_embed.proj.weight
    loaded = torch.load(f"{WEIGHTS}.pth")["model"]["patch_embed.proj.weight"]
    assert torch.equal(kernel, loaded)


def test_the_hub(names: dict[str, object], hub) -> None:
    first, second = code_of("The Hugging Face hub")
    run(first, names)
    card = Path("streets/README.md").read_text()
    assert "| 0 | road |" in card
    assert "| mIoU | 0.71 |" in card
    assert names["backbone"].config == TINY
    hub.token = "hf_of_the_environment"
    run(second, names)
    assert names["model"].class_names == ("road", "sky")
    assert set(hub.repositories) == {"me/streets"}


def test_the_page_shows_no_figure_that_nobody_measured() -> None:
    assert "TODO" not in PAGE.read_text()
