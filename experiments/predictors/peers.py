"""The peers: MapLight's recipe for ADMET tasks, a support vector machine on ECFP for potency.

MapLight (Notwell and Wood 2023, https://arxiv.org/abs/2310.00174; parameters as in the authors'
notebook, https://github.com/maplightrx/MapLight-TDC): CatBoost with its defaults but
random_strength 2, 1,000 trees, loss MAE for regression and log-likelihood for classes; Morgan and
Avalon counts of length 1024, ErG, RDKit descriptors; targets standardised, four skewed ones as
log10(y + 1). Structures as published, nothing merged. Needs `pip install catboost`.

Two differences, both said in the README: RDKit's descriptors are all of this version's except
`SPS` (the authors list 200 of an earlier version), and ErG has 315 columns by RDKit's defaults.

SVM: scikit-learn's SVR with a radial kernel on binary ECFP4 of 1024 bits, the settings by five-fold
cross-validation on the training rows over a grid like that of MoleculeACE (van Tilborg et al. 2022,
https://doi.org/10.1021/acs.jcim.2c01073).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Avalon import pyAvalonTools
from rdkit.Chem import Descriptors, rdFingerprintGenerator, rdReducedGraphs

Array = NDArray[np.float64]

LOG_SCALED = frozenset(
    ["vdss_lombardo", "half_life_obach", "clearance_hepatocyte_az", "clearance_microsome_az"]
)
_DESCRIPTORS = [(name, f) for name, f in Descriptors.descList if name != "SPS"]
_counts = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)


def maplight_features(smiles: Sequence[str]) -> NDArray[np.float32]:
    """MapLight's columns of structures as they are written, float32, shape (n, 2363 + descriptors).

    Raises:
        ValueError: RDKit cannot read a structure.
    """
    return np.stack([_maplight_row(text) for text in smiles])


def _maplight_row(smiles: str) -> NDArray[np.float32]:
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            raise ValueError(f"RDKit cannot read {smiles}")
        avalon = np.zeros(1024, np.float32)
        for bit, n in pyAvalonTools.GetAvalonCountFP(mol, 1024).GetNonzeroElements().items():
            avalon[bit] = n
        descriptors = np.array([_value(f, mol) for _, f in _DESCRIPTORS])
        parts = [
            _counts.GetCountFingerprintAsNumPy(mol).astype(np.float32),
            avalon,
            np.asarray(rdReducedGraphs.GetErGFingerprint(mol), np.float32),
            np.clip(descriptors, -3e38, 3e38).astype(np.float32),
        ]
    return np.concatenate(parts)


def _value(function: Any, mol: Chem.Mol) -> float:
    try:
        return float(function(mol))
    except (ValueError, RuntimeError, ZeroDivisionError):
        return float("nan")


def maplight_scores(
    x: NDArray[np.float32], y: Array, x_test: NDArray[np.float32], *, task: str, log: bool,
    seed: int, n_threads: int = 1,
) -> Array:  # fmt: skip
    """Fits on (n, d) columns and values of shape (n,), predicts the rows of `x_test`.

    Args:
        x: from `maplight_features`.
        y: measured values, or 0/1.
        x_test: rows to predict.
        task: 'regression' or 'classification'.
        log: learn log10(y + 1).
        seed: CatBoost's.
        n_threads: CatBoost's.

    Returns:
        Values or probabilities of the positive class, float64, shape (m,).
    """
    import catboost

    settings: dict[str, Any] = {
        "random_strength": 2, "random_seed": seed, "verbose": 0, "thread_count": n_threads,
        "allow_writing_files": False,
    }  # fmt: skip
    if task == "classification":
        model = catboost.CatBoostClassifier(loss_function="Logloss", **settings)
        model.fit(x, y.astype(int))
        return np.asarray(model.predict_proba(x_test)[:, 1], np.float64)
    offset = min(float(y.min()), 0.0)
    shifted = np.log10(y - offset + 1.0) if log else y - offset
    mean, scale = shifted.mean(), shifted.std()
    model = catboost.CatBoostRegressor(loss_function="MAE", **settings)
    model.fit(x, (shifted - mean) / scale)
    found = np.asarray(model.predict(x_test), np.float64) * scale + mean
    return (10.0**found - 1.0 if log else found) + offset


def svm_scores(bits: NDArray[np.uint8], y: Array, bits_test: NDArray[np.uint8]) -> Array:
    """Predictions of a support vector machine tuned on the training rows alone, shape (m,)."""
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.svm import SVR

    grid = {"C": [1.0, 10.0, 100.0], "gamma": [1e-3, 1e-2], "epsilon": [0.01, 0.1]}
    folds = KFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(SVR(cache_size=1000), grid, cv=folds, scoring="neg_mean_squared_error")
    search.fit(bits.astype(np.float64), y)
    return np.asarray(search.predict(bits_test.astype(np.float64)), np.float64)
