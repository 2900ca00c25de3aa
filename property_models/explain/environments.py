"""Circular environments of a molecule: which atom each count of a fingerprint belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from property_models.features import N_ECFP_COUNTS

RADIUS = 2
_ecfp = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=N_ECFP_COUNTS)


def centred_counts(mol: Chem.Mol) -> NDArray[np.int64]:
    """Counts of the environments centred on each atom, int64, shape (n_atoms, 2048).

    Their sum over the atoms is `Features.ecfp` of the molecule.
    """
    extra = rdFingerprintGenerator.AdditionalOutput()
    extra.AllocateBitInfoMap()
    _ecfp.GetCountFingerprint(mol, additionalOutput=extra)
    counts = np.zeros((mol.GetNumAtoms(), N_ECFP_COUNTS), np.int64)
    for bit, places in extra.GetBitInfoMap().items():
        for centre, _radius in places:
            counts[centre, bit] += 1
    return counts
