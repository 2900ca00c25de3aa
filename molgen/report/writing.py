"""From a run folder to its candidates.csv, candidates.sdf and report.html."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from rdkit import Chem

from molgen.config.campaign import RunConfig
from molgen.errors import DataError
from molgen.objectives.tradeoffs import desirability_columns
from molgen.report.cards import make_cards, neighbour_key, primary_predictor
from molgen.report.depiction import align, draw
from molgen.report.exports import export_table, write_csv, write_sdf
from molgen.report.html import Core, render
from molgen.report.ranking import rank
from molgen.report.record import RunRecord, read_run
from molgen.report.second_opinion import second_opinions
from property_models import known_structures
from property_models.molecules import scaffold


@dataclass(frozen=True)
class ReportFiles:
    """What `write_report` wrote.

    Attributes:
        candidates_csv: Table of the candidates.
        candidates_sdf: The same with 2D structures.
        report_html: The page for the chemist.
        n_candidates: Rows of the table.
        candidates: The candidates as ledger rows with their rank.
    """

    candidates_csv: Path
    candidates_sdf: Path
    report_html: Path
    n_candidates: int
    candidates: pd.DataFrame = field(repr=False, compare=False)


def write_report(run_dir: Path | str) -> ReportFiles:
    """Ranks what a run has scored and writes its three result files, replacing older ones.

    A run that is unfinished or has scored nothing gets a report that says so.

    Raises:
        DataError: The run folder is missing, broken or cannot be written.
        ConfigError: Its config.yaml is broken.
    """
    folder = Path(run_dir)
    return write_files(read_run(folder), folder)


def write_files(run: RunRecord, folder: Path) -> ReportFiles:
    """Writes the result files of a run already read; see `write_report`."""
    candidates, opinions = second_opinions(rank_candidates(run), run.config)
    drawn = candidates.head(run.config.report.n_drawn)
    measured = _neighbours(drawn, run.config)
    prompts = run.config.generator.prompts
    # Measured compounds and cores are laid out with the candidates, to be drawn the same way up.
    texts = [*candidates["smiles"], *filter(None, measured), *prompts]
    mols = [Chem.MolFromSmiles(smiles) for smiles in texts]
    scaffolds = [*candidates["scaffold"], *(scaffold(mol) for mol in mols[len(candidates) :])]
    laid_out = iter(align(mols, scaffolds, prompts))
    mols = list(islice(laid_out, len(candidates)))
    neighbours = [next(laid_out) if smiles else None for smiles in measured]
    cores = [Core(smiles, Markup(draw(next(laid_out)))) for smiles in prompts]
    cards = make_cards(drawn, mols[: len(drawn)], run.config, neighbours=neighbours)
    table = export_table(candidates, run.config.objective)
    page = render(run, cards, n_candidates=len(candidates), cores=cores, opinions=opinions)
    files = ReportFiles(
        folder / "candidates.csv", folder / "candidates.sdf", folder / "report.html",
        len(candidates), candidates,
    )  # fmt: skip
    _replace(files.candidates_csv, lambda path: write_csv(table, path))
    _replace(files.candidates_sdf, lambda path: write_sdf(table, mols, path))
    _replace(files.report_html, lambda path: path.write_text(page, encoding="utf-8"))
    return files


def rank_candidates(run: RunRecord) -> pd.DataFrame:
    """The run's candidates as its config's `report` section asks for them; see `ranking.rank`."""
    report, components = run.config.report, run.config.objective.components
    return rank(
        run.table,
        report.n_candidates,
        max_per_scaffold=report.max_per_scaffold,
        stereo_aware=any(getattr(component, "stereo_aware", False) for component in components),
        pareto=desirability_columns(run.config.objective) if run.config.search.pareto else (),
    )


def _neighbours(drawn: pd.DataFrame, config: RunConfig) -> list[str]:
    """SMILES of each candidate's nearest measured compound; '' where it is not at hand."""
    primary = primary_predictor(config)
    endpoint = primary.endpoint if primary else ""
    known = (known_structures(endpoint) if endpoint and len(drawn) else None) or {}
    return [known.get(neighbour_key(row, endpoint), "") for row in drawn.to_dict("records")]


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file beside its place and moves it there: readers never see half a file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        os.replace(partial, path)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error}; make the folder writable or free some space"
        ) from error
