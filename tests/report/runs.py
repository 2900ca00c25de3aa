"""Small runs made by hand: factor Xa-like molecules with invented values."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem import Descriptors
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgen.config.campaign import RunConfig
from molgen.config.loading import dump_config
from molgen.config.objective import ObjectiveConfig, component_name
from molgen.ledger import Ledger, NewMolecule, Score
from molgen.objectives.aggregation import aggregate
from molgen.objectives.desirability import desirability
from molgen.report.record import RunRecord

CORES = [
    "O=C1CN(CCO1)c1ccc({})cc1",
    "O=C(N{})c1ccc(cc1)N1CCCCC1=O",
    "COc1ccc(cc1)-n1nc(C(N)=O)c2CCN(c3ccc({})cc3)C(=O)c12",
    "O=C1OC(CNC(=O)c2ccc(Cl)s2)CN1c1ccc({})cc1",
    "CC(O)C(NC(=O){})c1ccccc1",
    "O=S(=O)(N1CCN({})CC1)c1ccc2cc(Cl)ccc2c1",
]
GROUPS = ["C", "CC#N", "C8CCOCC8", "C8CCN(C)CC8", "c8ccncc8", "C(C)CO", "C8=CC(=O)C=CC8=O"]


def config(**changes: Any) -> RunConfig:
    """A complete campaign config; keyword arguments replace whole sections."""
    content: dict[str, Any] = {
        "name": "factor_xa",
        "description": "New factor Xa inhibitors, safe and soluble.",
        "budget": {"n_rounds": 8},
        "objective": {
            "filters": [{"type": "hazards"}, {"type": "alerts", "catalogs": ["PAINS"]}],
            "components": [
                {"type": "predictor", "endpoint": "fxa_pki", "weight": 3,
                 "out_of_domain_factor": 0.6,
                 "desirability": {"type": "increasing", "zero_at": 5, "one_at": 9}},
                {"type": "predictor", "endpoint": "herg_block",
                 "desirability": {"type": "decreasing", "one_at": 0.2, "zero_at": 0.9}},
                {"type": "predictor", "endpoint": "solubility",
                 "desirability": {"type": "increasing", "zero_at": -7, "one_at": -4}},
                {"type": "descriptor", "name": "qed",
                 "desirability": {"type": "increasing", "zero_at": 0.2, "one_at": 0.7}},
                {"type": "descriptor", "name": "molecular_weight", "weight": 0.5,
                 "desirability": {"type": "between", "low": 250, "high": 500, "margin": 80}},
                {"type": "alerts", "catalogs": ["BRENK"],
                 "desirability": {"type": "decreasing", "one_at": 0, "zero_at": 3}},
            ],
        },
        "report": {"n_candidates": 40, "n_drawn": 30, "max_per_scaffold": 3},
    }  # fmt: skip
    return RunConfig.model_validate({**content, **changes})


def molecules() -> list[str]:
    """Distinct canonical SMILES in a fixed order."""
    smiles = [core.format(group) for core, group in itertools.product(CORES, GROUPS)]
    return list(dict.fromkeys(Chem.CanonSmiles(s) for s in smiles))


def table(smiles: list[str] | None = None, *, seed: int = 0) -> pd.DataFrame:
    """A ledger table in which all molecules are scored, followed by a few that are not."""
    rng = np.random.default_rng(seed)
    listed = molecules() if smiles is None else smiles
    rows = [scored_row(i, s, rng) for i, s in enumerate(listed, start=1)]
    lost = [
        ("filtered", "alerts: PAINS quinone_A(370)"), ("filtered", "hazards: nitrogen mustard"),
        ("filtered", "range: molecular_weight 612.3 > 600"),
        ("filtered", "range: molecular_weight 645 > 600"),
        ("unscored", "fxa_pki: RDKit cannot embed it"), ("pending", ""), ("duplicate", ""),
    ]  # fmt: skip
    for status, reason in lost:
        i = len(rows) + 1
        rows.append(
            {**identity(i, "C" * i), "status": status, "reason": reason, "reward": float("nan")}
        )
    return pd.DataFrame(rows)


def identity(i: int, smiles: str) -> dict[str, Any]:
    """The columns that say which molecule a row is."""
    mol = Chem.MolFromSmiles(smiles)
    return {
        "id": i, "smiles": smiles, "inchikey": Chem.MolToInchiKey(mol),
        "constitution": Chem.MolToSmiles(mol, isomericSmiles=False),
        "scaffold": MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=False),
        "round": i % 8, "origin": "policy", "parents": [], "attempts": 1, "worker": "local-0",
        "seconds": 0.1, "created_at": "2026-01-01T00:00:00", "scored_at": "2026-01-01T00:00:01",
    }  # fmt: skip


def scored_row(i: int, smiles: str, rng: np.random.Generator) -> dict[str, Any]:
    """A scored row whose reward is the weighted geometric mean of its desirabilities."""
    mol = Chem.MolFromSmiles(smiles)
    row = {**identity(i, smiles), "status": "scored", "reason": ""}
    values = {
        "fxa_pki": (rng.uniform(6, 9.5), 0.7), "herg_block": (rng.uniform(0.05, 0.8), 0.08),
        "solubility": (rng.uniform(-6.5, -3), 0.9),
    }  # fmt: skip
    for name, (value, half) in values.items():
        row |= {
            name: value, f"{name}_low": value - half, f"{name}_high": value + half,
            f"{name}_in_domain": bool(rng.uniform() < 0.8),
            f"{name}_neighbour_inchikey": "KGFYHTZWPPHNLQ", f"{name}_neighbour_value": 8.4,
            f"{name}_neighbour_similarity": rng.uniform(0.3, 0.8),
        }  # fmt: skip
    row |= {"qed": Descriptors.qed(mol), "molecular_weight": Descriptors.MolWt(mol)}
    row |= {"n_alerts": 0.0, "alerts": ""}
    objective = config().objective
    for component in objective.components:
        name = component_name(component)
        row[f"{name}_desirability"] = float(desirability(component.desirability, row[name]))
    row["reward"] = reward(row, objective)
    return row


def reward(row: Mapping[str, Any], objective: ObjectiveConfig) -> float:
    """The reward of a row by molgen.objectives."""
    names = [component_name(c) for c in objective.components]
    parts = [np.array([row[f"{n}_desirability"]]) for n in names]
    weights = [c.weight for c in objective.components]
    return float(aggregate(parts, weights, how=objective.aggregation)[0])


def rounds(n: int = 8) -> pd.DataFrame:
    """Statistics of a run that learns."""
    means = np.linspace(0.32, 0.58, n)
    return pd.DataFrame(
        {
            "round": range(n), "n_proposed": 256, "n_unique": 255, "n_new": 250,
            "n_duplicate": 3, "n_filtered": 40, "n_scored": 207, "n_unscored": 0,
            "reward_mean": means, "reward_top10": means + 0.3, "reward_top100": means + 0.2,
            "diversity": 0.86, "prior_reward_mean": [0.31] + [float("nan")] * (n - 1),
            "seconds_round": 11.2, "mean_fxa_pki": np.linspace(6.4, 8.1, n),
            "mean_herg_block": np.linspace(0.55, 0.33, n), "mean_qed": np.linspace(0.55, 0.66, n),
            "mean_solubility": np.linspace(-5.2, -4.4, n), "mean_n_alerts": np.linspace(1, 0.2, n),
            "mean_molecular_weight": np.linspace(390, 430, n),
        }
    )  # fmt: skip


def run(**changes: Any) -> RunRecord:
    """A finished run; keyword arguments replace fields."""
    fields: dict[str, Any] = {
        "config": config(), "manifest": {"status": "finished", "versions": {"rdkit": "2026.9.1"}},
        "table": table(), "rounds": rounds(),
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


def write_run_folder(folder: Path) -> RunRecord:
    """Writes the run of `run` as a run folder with a real ledger."""
    record = run()
    (folder / "config.yaml").write_text(dump_config(record.config), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(record.manifest), encoding="utf-8")
    rows = record.table.to_dict("records")
    ledger = Ledger.open(folder / "ledger.db", create=True)
    try:
        ledger.add(0, [_new(row) for row in rows])
        ids = {row.smiles: row.id for row in ledger.pending()}
        ledger.commit([_score(row, ids) for row in rows if row["status"] in ("scored", "unscored")])
        for stats in record.rounds.to_dict("records"):
            ledger.note_round(stats["round"], {str(k): v for k, v in stats.items() if k != "round"})
    finally:
        ledger.close()
    return record


def _new(row: Any) -> NewMolecule:
    fields = {n: row[n] for n in ("smiles", "inchikey", "constitution", "scaffold", "origin")}
    answered = row["status"] in ("scored", "unscored")
    status = "pending" if answered else row["status"]
    return NewMolecule(
        **fields, parents=tuple(row["parents"]), status=status,
        reason="" if answered else row["reason"],
    )  # fmt: skip


def _score(row: Any, ids: dict[str, int]) -> Score:
    own = {*identity(1, "C"), "status", "reason", "reward"}
    values = {k: v for k, v in row.items() if k not in own}
    return Score(
        id=ids[row["smiles"]], status=row["status"], reason=row["reason"], reward=row["reward"],
        values=values, worker="local-0", seconds=0.1,
    )  # fmt: skip
