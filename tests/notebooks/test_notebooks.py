"""The notebooks run from top to bottom and are committed without outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import molgen
from tests.report.runs import write_run_folder

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SHIPPED = Path(molgen.__file__).parent / "artifacts" / "predictors" / "fxa_pki" / "card.json"

# Jupyter's kernel client and the kernel's sockets warn about themselves, not about the notebook.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert not [c for c in cells if c.cell_type == "code" and (c.outputs or c.execution_count)]


def executed(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run a notebook in a folder; the HTML that its cells show."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOKS.parent)]))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return [
        output["data"]["text/html"] for cell in notebook.cells if cell.cell_type == "code"
        for output in cell.outputs if "text/html" in output.get("data", {})
    ]  # fmt: skip


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the shipped predictors are not there")
def test_the_notebook_opens_a_run_and_asks_a_predictor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run_folder(tmp_path)
    monkeypatch.setenv("MOLGEN_RUN", str(tmp_path))
    html = executed("open_a_run.ipynb", tmp_path, monkeypatch)
    assert len(html) == 3
    assert html[1].count("<svg") == 6
    assert "apixaban" in html[2]


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the shipped predictors are not there")
def test_the_notebook_goes_from_a_table_to_molecules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOLGEN_WORK", str(tmp_path))
    card, explained, designed = executed("from_a_table.ipynb", tmp_path, monkeypatch)
    assert "my_target" in card
    assert explained.count("<svg") == 3
    assert designed.count("<svg") == 6
