"""The one base class of every config section, and the types they share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a config file: unknown keys are errors, values are not changed later.

    Numbers are finite.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


def _parsable(smiles: str) -> str:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise ValueError(f"cannot parse the SMILES {smiles!r}")
    if not mol.GetNumAtoms():
        raise ValueError("an empty SMILES, which is no molecule")
    return smiles


Smiles = Annotated[str, AfterValidator(_parsable)]
