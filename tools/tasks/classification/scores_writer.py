"""Writing of classifications: the highest scores of each image in a JSON file."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from swin_dense.datasets.metrics.classification_eval import top_labels
from swin_dense.heads.whole_model import Model
from swin_dense.tools.files import atomic_write
from swin_dense.tools.tasks.classification.score_pictures import draw_scores
from swin_dense.tools.tasks.drawing import Picture


def class_names_of(model: Model) -> tuple[str, ...]:
    """The model's names, or numbers in their place."""
    return model.class_names or tuple(f"class {i}" for i in range(model.config.num_classes))


class ScoresWriter:
    """Writes `predictions.json`: file, label, name and score of each image, and the next ones.

    Args:
        out: folder for it.
        model: gives the class names.
        top: scores that are written for each image.
    """

    def __init__(self, out: Path, model: Model, *, top: int) -> None:
        self._path, self._top = out / "predictions.json", top
        self._names = class_names_of(model)
        self._images: list[dict[str, Any]] = []

    def add(self, name: str, image: Tensor, result: Tensor) -> Picture:
        """Keep the scores of an image and draw them."""
        scores = result.float().cpu()
        labels = top_labels(scores, self._top)
        values = [float(scores[label]) for label in labels]
        found = [
            {"label": label, "name": self._names[label], "score": round(value, 6)}
            for label, value in zip(labels, values, strict=True)
        ]
        self._images.append({"file_name": name, **found[0], "top": found})
        picture = image.permute(1, 2, 0).cpu().numpy()  # (H, W, 3)
        return draw_scores(picture, labels, values, self._names)

    def close(self) -> None:
        """Write the file."""
        content = {"classes": list(self._names), "images": self._images}
        atomic_write(self._path, json.dumps(content, indent=1) + "\n")
