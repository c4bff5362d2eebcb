"""The page of published files is the one that the table in the code makes."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from swin_dense.checkpoints.published import PUBLISHED

_SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "published_table.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("published_table", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_in_the_repository_is_up_to_date(script: ModuleType) -> None:
    page = (_SCRIPT.parent / "published.md").read_text(encoding="utf-8")
    assert page == script.published_table(), "run `python docs/published_table.py`"


def test_every_file_has_a_row_with_its_facts(script: ModuleType) -> None:
    lines = script.published_table().splitlines()
    for file in PUBLISHED.values():
        (row,) = [line for line in lines if line.startswith(f"| `{file.name}` |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == f"`{file.model}`"
        assert cells[2].count(",") == max(0, len(file.scores) - 1)
        for name, score in file.scores.items():
            assert f"{name} {score}" in cells[2]
        assert cells[3].endswith(f"{file.file_name})")
        assert cells[4] == (f"`{file.recipe}`" if file.recipe else "")
        assert file.licence.startswith(cells[5])
        assert cells[6] == file.note


def test_tables_are_whole_and_grouped_by_task(script: ModuleType) -> None:
    sections = re.split(r"^## ", script.published_table(), flags=re.MULTILINE)
    assert [section.split(":")[0] for section in sections[1:5]] == [
        "Detection",
        "Segmentation",
        "Panoptic segmentation",
        "Classification",
    ]
    for task, section in zip(
        ("detection", "segmentation", "panoptic", "classification"), sections[1:], strict=False
    ):
        rows = [line for line in section.splitlines() if line.startswith("|")]
        assert len(rows) == 2 + sum(file.task == task for file in PUBLISHED.values())
        assert len({row.count("|") for row in rows}) == 1
    assert {line[2:] for line in sections[5].splitlines() if line.startswith("- ")} == {
        file.licence for file in PUBLISHED.values()
    }


def test_script_writes_the_page(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "PAGE", tmp_path / "page.md")
    script.main()
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == script.published_table()
