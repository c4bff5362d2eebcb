"""Metadata of exported files: a text that comes back as it was, and clear words where not."""

import pytest

from swin_dense.tools.export.metadata import ExportMetadata


def test_what_is_stored_comes_back() -> None:
    metadata = ExportMetadata(
        part="model",
        outputs=("logits", "label_map"),
        kind="upernet",
        task="segmentation",
        config={"num_classes": 2},
        class_names=("cat", "dog"),
        category_ids=(3, 9),
        scale=(2048, 512),
        thresholds={"score": 0.05},
    )
    assert ExportMetadata.from_json(metadata.to_json(), source="model.onnx") == metadata


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "a file that `swin-dense export` wrote"),
        ("[1]", "must be a JSON table"),
        ("{", "cannot be read"),
        ('{"part": "model", "outputs": 3}', "metadata.outputs must be"),
        ('{"part": "model"}', "must have 'outputs'"),
    ],
)
def test_other_texts_are_refused_with_the_file_named(text: str | None, words: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.onnx.*{words}"):
        ExportMetadata.from_json(text, source="model.onnx")
