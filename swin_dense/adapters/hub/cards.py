"""Model cards: the README.md of a repository on the Hugging Face hub.

Mitchell et al. 2019, "Model Cards for Model Reporting"; the header is the hub's, in YAML.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# Our tasks in the hub's words.
_PIPELINES = {
    "detection": "object-detection",
    "segmentation": "image-segmentation",
    "classification": "image-classification",
    "features": "image-feature-extraction",
}


@dataclass(frozen=True, kw_only=True)
class CardContent:
    """Content of a card.

    Attributes:
        title: name of the model in words.
        task: name of one of our tasks; `features` for a backbone.
        num_parameters: of the whole model.
        code: lines of Python that load and use the model; `{source}` is where it is.
        class_names: in label order, or None.
        category_ids: that labels are written with, or None.
        num_classes: classes; None for a backbone.
        metrics: by name, or tables of them.
        dataset: they were measured on, or None.
    """

    title: str
    task: str
    num_parameters: int
    code: str
    class_names: Sequence[str] | None = None
    category_ids: Sequence[int] | None = None
    num_classes: int | None = None
    metrics: Mapping[str, Any] | None = None
    dataset: str | None = None


def write_card(content: CardContent, *, source: str) -> str:
    """Write the card.

    Args:
        content: what it says.
        source: `OWNER/NAME` or the folder, for the code in it.

    Returns:
        Markdown with a header in YAML.
    """
    scores = list(_flatten(content.metrics or {}))
    parts = [
        f"---\n{_header(content, scores)}---",
        f"# {content.title}",
        f"A model of swin_dense for {content.task}, with "
        f"{content.num_parameters / 1e6:.1f} million parameters. Backbone: Swin Transformer "
        "([Liu et al. 2021](https://arxiv.org/abs/2103.14030)).",
        f"```python\nimport swin_dense as sd\n\n{content.code.format(source=source)}\n```",
    ]
    if content.num_classes is not None:
        parts.append(f"## Classes\n\n{_class_table(content)}")
    if scores:
        place = f" on {content.dataset}" if content.dataset else ""
        rows = "\n".join(f"| {_escape(name)} | {value:.4g} |" for name, value in scores)
        parts.append(f"## Metrics\n\nMeasured{place}.\n\n| metric | value |\n|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def _header(content: CardContent, scores: Sequence[tuple[str, float]]) -> str:
    pipeline = _PIPELINES.get(content.task)
    header: dict[str, Any] = {"library_name": "swin_dense"}
    if pipeline:
        header["pipeline_tag"] = pipeline
    header["tags"] = ["swin", "swin_dense"]
    if scores and content.dataset:  # the hub asks for the data set's name beside any score
        results = {
            "task": {"type": pipeline or content.task},
            "dataset": {"name": content.dataset, "type": content.dataset},
            "metrics": [{"type": name, "name": name, "value": value} for name, value in scores],
        }
        header["model-index"] = [{"name": content.title, "results": [results]}]
    return yaml.safe_dump(header, sort_keys=False, allow_unicode=True)


def _flatten(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers among metrics by name; lists, of which a card has no use, are left out."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def _class_table(content: CardContent) -> str:
    if content.class_names is None:
        return f"{content.num_classes} classes, whose names are not known."
    ids = content.category_ids
    columns = ["label", "name"] if ids is None else ["label", "name", "id"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for label, name in enumerate(content.class_names):
        cells = [str(label), _escape(name), *([] if ids is None else [str(ids[label])])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text as a cell of a table."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
