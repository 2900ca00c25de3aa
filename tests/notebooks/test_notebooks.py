"""The notebooks run from top to bottom and are committed without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import molgen
from tests.report.runs import write_run_folder

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "open_a_run.ipynb"
SHIPPED = Path(molgen.__file__).parent / "artifacts" / "predictors" / "fxa_pki" / "card.json"

# Jupyter's kernel client and the kernel's sockets warn about themselves, not about the notebook.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not [c for c in cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the shipped predictors are not there")
def test_the_notebook_opens_a_run_and_asks_a_predictor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run_folder(tmp_path)
    monkeypatch.setenv("MOLGEN_RUN", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1])]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    html = [
        output["data"]["text/html"] for cell in notebook.cells if cell.cell_type == "code"
        for output in cell.outputs if "text/html" in output.get("data", {})
    ]  # fmt: skip
    assert len(html) == 3
    assert html[1].count("<svg") == 6
    assert "apixaban" in html[2]
