"""The answers: files and pictures as `predict` gives them, each result for who has its name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swin_dense.tools.commands.predict import predict
from swin_dense.tools.serve.choice import Choice
from swin_dense.tools.serve.service import Service, clean_name

MakeService = Callable[[str], Service]
SCALE, THRESHOLD = (64, 64), 0.1  # as in conftest.py


def test_a_detectors_file_and_overlay_are_those_of_predict(
    serve_model: MakeService, weights: dict[str, Path], image: Path, tmp_path: Path
) -> None:
    service = serve_model("detection")
    found = service.find(image, image.name)
    out = predict(
        weights["detection"],
        image,
        out=tmp_path / "out",
        scale=SCALE,
        score_threshold=THRESHOLD,
        device="cpu",
    )
    name, content = service.file(found["id"], "predictions.json", service.default)
    assert name == "street view_predictions.json"
    assert json.loads(content)["annotations"]
    assert content == (out / "predictions.json").read_bytes()
    name, picture = service.overlay(found["id"], service.default)
    assert name == "street view_overlay.jpg"
    assert picture == (out / "overlays" / image.name).read_bytes()


def test_a_segmentors_files_and_overlay_are_those_of_predict(
    serve_model: MakeService, weights: dict[str, Path], image: Path, tmp_path: Path
) -> None:
    service = serve_model("segmentation")
    found = service.find(image, image.name)
    files = service.view(found["id"])["files"]
    assert files == ["classes.txt", "label_maps/street view.png"]
    out = predict(weights["segmentation"], image, out=tmp_path / "out", scale=SCALE, device="cpu")
    for file in files:
        assert service.file(found["id"], file, service.default)[1] == (out / file).read_bytes()
    overlay = service.overlay(found["id"], service.default)[1]
    assert overlay == (out / "overlays" / image.name).read_bytes()


def test_threshold_and_classes_choose_what_is_written(
    serve_model: MakeService, image: Path
) -> None:
    service = serve_model("detection")
    result = service.find(image, image.name)["id"]

    def annotations(**changes: object) -> list[dict]:
        choice = replace(service.default, **changes)
        return json.loads(service.file(result, "predictions.json", choice)[1])["annotations"]

    everything = annotations(threshold=0.0)
    middle = sorted(entry["score"] for entry in everything)[len(everything) // 2]
    assert {e["category_id"] for e in everything} == {1, 2}
    assert [e["score"] for e in annotations(threshold=middle)] == [
        e["score"] for e in everything if e["score"] >= middle
    ]
    kept = annotations(threshold=0.0, hidden=frozenset({0}))
    assert [e["bbox"] for e in kept] == [e["bbox"] for e in everything if e["category_id"] == 2]
    assert annotations(threshold=1.0) == []


def test_the_view_has_what_the_page_draws(serve_model: MakeService, image: Path) -> None:
    service = serve_model("detection")
    view = service.view(service.find(image, image.name)["id"])
    assert view["picture"]["width"] == 60
    assert view["picture"]["address"].startswith("data:image/jpeg;base64,")
    assert view["files"] == ["predictions.json"]
    assert {one["name"] for one in view["classes"]} == {"cat", "dog"}
    json.dumps(view)


def test_a_camera_that_was_turned_gives_an_upright_image(
    serve_model: MakeService, image: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.open(image).save(turned, exif=exif)
    found = serve_model("segmentation").find(turned, turned.name)
    assert (found["width"], found["height"]) == (40, 60)


def test_a_wide_image_is_shown_small_and_its_boxes_are_in_its_own_frame(
    serve_model: MakeService, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.png"
    Image.fromarray(np.full((30, 2400, 3), 99, np.uint8)).save(wide)
    service = serve_model("detection")
    found = service.find(wide, wide.name)
    view = service.view(found["id"])
    assert (found["width"], view["picture"]["width"]) == (2400, 1600)
    assert max(one["box"][2] for one in view["objects"]) > 1600


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0 cut off"])
def test_a_broken_file_is_named_as_its_owner_does(
    content: bytes, serve_model: MakeService, tmp_path: Path
) -> None:
    upload = tmp_path / "0a1b2c"
    upload.write_bytes(content)
    service = serve_model("detection")
    with pytest.raises(ValueError, match=r"^notes\.jpg cannot be read as an image: it is cut off"):
        service.find(upload, "notes.jpg")
    assert list((tmp_path / "served" / "images").iterdir()) == []


def test_a_result_does_not_need_the_upload_and_goes_when_it_is_forgotten(
    serve_model: MakeService, image: Path, tmp_path: Path
) -> None:
    upload = Path(shutil.copy(image, tmp_path / "upload.jpg"))
    service = serve_model("detection")
    first, second = (service.find(upload, name)["id"] for name in ("a.jpg", "b.jpg"))
    upload.unlink()
    service.forget(first)
    with pytest.raises(KeyError):
        service.view(first)
    assert service.overlay(second, service.default)[0] == "b_overlay.jpg"
    service.forget(second)
    assert list((tmp_path / "served" / "images").iterdir()) == []


def test_pyramids_have_a_picture_for_each_level(serve_model: MakeService, image: Path) -> None:
    service = serve_model("detection")
    result = service.find(image, image.name)["id"]
    for pyramid, channels in (("backbone", [8, 16, 32, 64]), ("fpn", [256] * 4)):
        levels = service.levels(result, pyramid)["levels"]
        assert [level["stride"] for level in levels] == [4, 8, 16, 32]
        assert [(level["width"], level["height"]) for level in levels] == [
            *((16, 11), (8, 6), (4, 3), (2, 2))  # of 64 x 43 px
        ]
        if pyramid == "backbone":
            assert [level["channels"] for level in levels] == channels
    with pytest.raises(ValueError, match="pyramid must be backbone or fpn, got 'neck'"):
        service.levels(result, "neck")


def test_opacity_and_classes_change_a_label_maps_picture_alone(
    serve_model: MakeService, image: Path
) -> None:
    service = serve_model("segmentation")
    result = service.find(image, image.name)["id"]
    labels = "label_maps/street view.png"
    choices = [
        service.default,
        Choice(threshold=0, opacity=0.2),
        Choice(threshold=0, opacity=0.6, hidden=frozenset({0, 1, 2})),
    ]
    assert len({service.overlay(result, choice)[1] for choice in choices}) == 3
    assert len({service.file(result, labels, choice)[1] for choice in choices}) == 1


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("street.jpg", "street.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\images\\a.png", "a.png"),
        ("a\nb.jpg", "a_b.jpg"),
        ("a\u202eb.jpg", "a_u202eb.jpg"),
        ("..", "image"),
        ("", "image"),
        (".jpg", "jpg"),
        ("x" * 500 + ".jpeg", "x" * 120 + ".jpeg"),
    ],
)
def test_names_of_files_lose_what_could_do_harm(given: str, clean: str) -> None:
    assert clean_name(given) == clean
