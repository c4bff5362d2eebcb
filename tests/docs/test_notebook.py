"""The notebook runs from its first cell to its last and finds shapes."""

import ast
import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason='needs pip install -e ".[test]"')
nbclient = pytest.importorskip("nbclient", reason='needs pip install -e ".[test]"')
pytest.importorskip("ipykernel", reason='needs pip install -e ".[test]"')

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "finetune.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if "SWIN_DENSE_SLOW" not in os.environ:  # its trainings take a minute
        for cell in notebook.cells:
            cell.source = re.sub(r'"steps": \d+', '"steps": 4', cell.source)
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def outputs(notebook, function):
    """Outputs of the cell that calls a function: dictionaries from a MIME type to its data."""
    (cell,) = [cell for cell in notebook.cells if f"sd.tools.{function}(" in cell.source]
    return [output.data for output in cell.outputs if "data" in output]


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


@pytest.fixture(scope="module")
def scores(executed):
    (shown,) = outputs(executed, "evaluate")
    return ast.literal_eval(shown["text/plain"])


def test_its_model_has_scores(scores):
    assert scores.keys() == {"bbox", "segm"}


@pytest.mark.slow
def test_its_model_finds_the_new_classes(scores):
    assert scores["bbox"] > 0.2


def test_its_pictures_are_shown(executed):
    pictures = [shown for shown in outputs(executed, "predict") if "image/jpeg" in shown]
    assert len(pictures) == 4
