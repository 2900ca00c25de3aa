"""`molgen explain`: a file of structures in, one page of explanations out that opens offline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from molgen.errors import ConfigError, DataError
from molgen.objectives.prediction_file import read_structures
from molgen.objectives.prediction_workers import open_predictors

if TYPE_CHECKING:
    from property_models.datasets import Table
    from property_models.explain import AdditiveModel, Counterfactual, Explanation, Replacement
    from property_models.predictor import Predictor

MAX_BACKGROUND = 2000  # more structures change the surrogate little
N_FRAGMENTS, N_COUNTERFACTUALS = 8, 10  # shown of each molecule
MIN_PAIRS = 2  # a replacement seen once may be an error of measurement

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#1b1b1b;background:#fff}
h2{margin-top:2.5rem;font-size:1.05rem;word-break:break-all}
section{display:flex;flex-wrap:wrap;gap:1.5rem;border-top:1px solid #ddd;padding:1rem 0}
svg{width:360px;max-width:100%}table{border-collapse:collapse;font-size:.85rem}
td,th{padding:.15rem .6rem .15rem 0;text-align:left;vertical-align:top}
td.number{text-align:right;font-variant-numeric:tabular-nums}
.note{color:#8a4b00}.text{flex:1;min-width:20rem}code{font-size:.85em;word-break:break-all}
@media(prefers-color-scheme:dark){body{color:#eee;background:#181818}.note{color:#f0b060}
section{border-color:#444}}
"""


def explain_file(
    table: str,
    output: Path,
    *,
    endpoints: Sequence[str] = (),
    folder: Path | None = None,
    smiles_column: str = "smiles",
    n_max: int = 10,
    background: Path | None = None,
    measured: Path | None = None,
    value_column: str = "value",
    unit: str = "",
    negative_log: bool = False,
) -> tuple[int, int]:
    """Explains the predictions of a file's first rows and writes them as one HTML page.

    Args:
        table: .smi, .csv, .tsv, .sdf, .parquet, or '-' for SMILES lines on standard input.
        output: .html; replaced only when it is complete.
        endpoints: What to explain; empty: everything there is a predictor for.
        folder: Folder of predictors; None: the shipped ones.
        smiles_column: Where a table holds the structures; of all tables given here.
        n_max: Rows to explain.
        background: Structures to fit additive surrogates on, at most `MAX_BACKGROUND`; None:
            those that the predictors keep.
        measured: Table with the measured values of the one endpoint asked for; replacements seen
            in at least `MIN_PAIRS` of its matched pairs are tried. A compound of which only a
            bound is known ('>10') is in no pair. None: the common replacements.
        value_column: Column of values there.
        unit: Of these values, for example nM.
        negative_log: Whether they are to be turned into -log10(mol/L).

    Returns:
        Explanations shown, and how many are not because the model or the structure is not fit.

    Raises:
        ConfigError: The output is no .html or cannot be written; `measured` without exactly one
            endpoint.
        DataError: An input is missing, empty or broken, or lacks a column; or the measured values
            are not in the predictor's unit.
        property_models.errors.PropertyModelError: An unknown endpoint or a broken predictor.
    """
    if output.suffix.lower() != ".html":
        raise ConfigError(f"{output}: explanations are written as a page; name it .html")
    if measured is not None and len(endpoints) != 1:
        raise ConfigError("--measured holds values of one endpoint; name it with --endpoints")
    rows = read_structures(table, smiles_column=smiles_column, n_max=n_max)
    if not rows:
        raise DataError(f"{table}: holds no structure")
    predictors = open_predictors(folder, endpoints)
    replacements = None
    if measured is not None:
        pairs = _measured(measured, smiles_column, value_column, unit, negative_log)
        _check_unit(pairs, predictors[endpoints[0]], measured)
        replacements = _replacements(pairs)
    surrogates = _surrogates(predictors, background, smiles_column)
    found = _explanations(predictors, rows, replacements, surrogates)
    page = _page(found)
    _write(output, page)
    all_of_them = [explanation for row in found for explanation in row]
    n_hidden = sum(bool(explanation.hidden) for explanation in all_of_them)
    return len(all_of_them) - n_hidden, n_hidden


def _explanations(
    predictors: Mapping[str, Predictor],
    rows: Sequence[tuple[str, str]],
    replacements: Sequence[Replacement] | None,
    surrogates: Mapping[str, AdditiveModel],
) -> list[list[Explanation]]:
    """By molecule, then by endpoint; of a row that cannot be read, why not."""
    from property_models.explain import explain

    found = []
    for smiles, reason in rows:
        explanations = [
            explain(predictor, smiles, replacements=replacements, additive=surrogates.get(name))
            for name, predictor in predictors.items()
        ]
        found.append([replace(e, hidden=reason) if reason else e for e in explanations])
    return found


def _measured(
    measured: Path, smiles_column: str, value_column: str, unit: str, negative_log: bool
) -> Table:
    from property_models.cleaning import clean
    from property_models.datasets import CleaningRules, read_file

    rows = read_file(
        measured, smiles_column=smiles_column, value_column=value_column, unit=unit,
        transform="neg_log10_molar" if negative_log else "none",
        # The difference of a bound and a value is no measured change.
        rules=CleaningRules(censored="drop"),
    )  # fmt: skip
    return clean(rows, task="regression")


def _check_unit(table: Table, predictor: Predictor, measured: Path) -> None:
    """DataError where compounds that the predictor learnt have quite other values here."""
    import numpy as np

    learnt = predictor.parts.reference
    known = dict(zip(learnt.inchikeys, learnt.values, strict=True))
    own = zip(table.inchikeys, table.values, strict=True)
    both = np.array([(value, known[key]) for key, value in own if key in known])
    if len(both) and np.median(np.abs(both[:, 0] - both[:, 1])) > 2 * learnt.values.std():
        here, there = np.median(both, axis=0)
        raise DataError(
            f"{measured}: {len(both)} compounds that {predictor.card.endpoint} was trained on have "
            f"other values here (median {here:.3g}, there {there:.3g} {predictor.card.unit}); give "
            "--unit and --negative-log, or values in that unit"
        )


def _replacements(table: Table) -> list[Replacement]:
    from property_models.explain import matched_pairs, replacements_of

    mols = [molecule.mol for molecule in table.molecules if molecule.mol is not None]
    return replacements_of(matched_pairs(mols), table.values, min_pairs=MIN_PAIRS)


def _surrogates(
    predictors: Mapping[str, Predictor], background: Path | None, smiles_column: str
) -> dict[str, AdditiveModel]:
    if background is None:
        return {}
    from property_models.explain import fit_additive, predictor_score
    from property_models.features import featurise
    from property_models.molecules import standardise_all

    rows = read_structures(str(background), smiles_column=smiles_column, n_max=MAX_BACKGROUND)
    smiles = [smiles for smiles, reason in rows if not reason]
    mols = [molecule.mol for molecule in standardise_all(smiles) if molecule.mol is not None]
    features = featurise(mols)
    return {
        name: fit_additive(features, predictor_score(predictor)(features))
        for name, predictor in predictors.items()
    }


# -- page -----------------------------------------------------------------------------------


def _page(found: Sequence[Sequence[Explanation]]) -> str:
    body = Markup("").join(_molecule(row) for row in found)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>Explanations</title>"
        f"<style>{_STYLE}</style></head><body><h1>Explanations of predictions</h1>"
        "<p>They explain the models, not nature: what a model would predict without an atom, a "
        "fragment or with another group. Colours show direction, discs show size.</p>"
        f"{body}</body></html>\n"
    )


def _molecule(explanations: Sequence[Explanation]) -> Markup:
    sections = Markup("").join(_section(explanation) for explanation in explanations)
    heading = explanations[0].smiles or "a row that cannot be read"
    return Markup("<h2><code>{}</code></h2>{}").format(heading, sections)


def _section(explanation: Explanation) -> Markup:
    endpoint = explanation.endpoint
    head = Markup("<h3>{}</h3><p>{}</p>").format(endpoint.name, endpoint.meaning)
    if math.isfinite(explanation.value):
        value, low, high = map(_text, (explanation.value, explanation.low, explanation.high))
        head += Markup("<p><b>{}</b> {} (interval {} to {}); higher is {}</p>").format(
            value, endpoint.unit, low, high, endpoint.higher_is
        )
        nearest = "<p>nearest training compound {}: similarity {:.2f}, measured {}</p>"
        head += Markup(nearest).format(
            explanation.neighbour, explanation.neighbour_similarity,
            explanation.neighbour_bound + _text(explanation.neighbour_value),
        )  # fmt: skip
    if explanation.hidden:
        note = Markup("<p class='note'>No explanation: {}.</p>").format(explanation.hidden)
        return Markup("<section><div class='text'>{}{}</div></section>").format(head, note)
    if explanation.caution:
        head += Markup("<p class='note'>{}.</p>").format(_capitalised(explanation.caution))
    picture = Markup(explanation.svg())  # made by RDKit and this package; its texts are escaped
    tables = _fragments_table(explanation) + _counterfactuals_table(explanation)
    return Markup("<section><div>{}</div><div class='text'>{}{}</div></section>").format(
        picture, head, tables
    )


def _fragments_table(explanation: Explanation) -> Markup:
    rows = Markup("").join(
        Markup("<tr><td><code>{}</code></td>{}{}</tr>").format(
            c.fragment.smiles, _number(c.whole), _number(c.atoms_sum)
        )
        for c in explanation.fragments[:N_FRAGMENTS]
    )
    return Markup(
        "<table><tr><th>fragment</th><th>effect of the whole ({})</th><th>sum of its atoms</th>"
        "</tr>{}</table>"
    ).format(explanation.unit, rows)


def _counterfactuals_table(explanation: Explanation) -> Markup:
    shown = explanation.counterfactuals[:N_COUNTERFACTUALS]
    if not shown:
        return Markup("<p>No group here has a common replacement.</p>")
    note = Markup("")
    if shown[0].stereo_left_out:
        note = Markup(
            "<p class='note'>Groups are exchanged without stereochemistry, so it is left out of "
            "both sides below: without it, this molecule is predicted as {}.</p>"
        ).format(_text(shown[0].baseline))
    return note + Markup(
        "<table><tr><th>replace</th><th>by</th><th>prediction</th><th>interval</th><th></th>"
        "<th>measured pairs</th><th>gives</th></tr>{}</table>"
    ).format(Markup("").join(_counterfactual_row(c) for c in shown))


def _counterfactual_row(c: Counterfactual) -> Markup:
    pairs = f"{_text(c.measured_change, '+')} (n = {c.n_pairs})" if c.n_pairs else ""
    baseline, value, low, high = map(_text, (c.baseline, c.value, c.low, c.high))
    return Markup(
        "<tr><td>{}</td><td>{}</td><td>{} → {}</td><td>{} to {}</td><td>{}</td>"
        "<td>{}</td><td><code>{}</code></td></tr>"
    ).format(c.before, c.after, baseline, value, low, high, c.effect, pairs, c.smiles)


def _number(value: float) -> Markup:
    return Markup("<td class='number'>{}</td>").format(_text(value, "+"))


def _text(value: float, sign: str = "") -> str:
    """Two decimals, of small values two digits: 0.0031 mol/L is not 0."""
    if not math.isfinite(value):
        return "-"
    return format(value, f"{sign}.2f" if value == 0 or abs(value) >= 0.1 else f"{sign}.2g")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _write(output: Path, page: str) -> None:
    part = output.with_name(output.name + ".part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        part.replace(output)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be written ({error.strerror})") from error
