"""Model cards: the header is the hub's, and no name breaks a table."""

import yaml

from swin_dense.adapters.hub.cards import CardContent, write_card

CONTENT = CardContent(
    title="Mask R-CNN on swin_t",
    task="detection",
    num_parameters=47_800_000,
    code='model = load("{source}")',
    class_names=("cat", "a|b <x>\n"),
    num_classes=2,
)


def test_a_card_opens_with_the_hubs_header() -> None:
    _, header, text = write_card(CONTENT, source="me/cats").split("---\n", 2)
    assert yaml.safe_load(header) == {
        "library_name": "swin_dense",
        "pipeline_tag": "object-detection",
        "tags": ["swin", "swin_dense"],
    }
    assert "# Mask R-CNN on swin_t" in text
    assert "47.8 million parameters" in text
    assert 'model = load("me/cats")' in text
    assert "## Metrics" not in text


def test_names_of_classes_stay_in_their_cells() -> None:
    text = write_card(CONTENT, source="me/cats")
    assert "| 0 | cat |\n| 1 | a\\|b &lt;x> |\n" in text


def test_tables_of_metrics_are_flat_and_lists_are_left_out() -> None:
    metrics = {"bbox": {"AP": 0.25, "AP50": 0.5}, "IoU": [0.1, 0.2], "is_good": True}
    content = CardContent(**vars(CONTENT) | {"metrics": metrics, "dataset": "pets"})
    _, header, text = write_card(content, source="me/cats").split("---\n", 2)
    (result,) = yaml.safe_load(header)["model-index"][0]["results"]
    assert [metric["name"] for metric in result["metrics"]] == ["bbox AP", "bbox AP50"]
    assert "Measured on pets." in text
    assert "| bbox AP | 0.25 |\n| bbox AP50 | 0.5 |\n" in text
    assert "IoU" not in text


def test_without_names_the_number_of_classes_stands() -> None:
    content = CardContent(**vars(CONTENT) | {"class_names": None})
    assert "2 classes, whose names are not known." in write_card(content, source="x")
    backbone = CardContent(**vars(CONTENT) | {"class_names": None, "num_classes": None})
    assert "## Classes" not in write_card(backbone, source="x")
