"""Downloads into tables: the layouts of the original files, and that of the data folder.

Every table has a `smiles` column of RDKit canonical SMILES; rows that RDKit cannot parse are left
out and counted. Nothing else is changed: duplicates, salts and stereochemistry stay.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem, rdBase

from property_models.addresses import Download, Home, Layout
from property_models.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Parts = Sequence[tuple[Download, Path]]

_PXR_COLUMNS = {
    "Molecule Name": "molecule_name",
    "SMILES": "smiles",
    "pEC50": "pEC50",
    "pEC50_std.error (-log10(molarity))": "pEC50_se",
    "Emax_estimate (log2FC vs. baseline)": "Emax_log2FC",
    "Emax.vs.pos.ctrl_estimate (dimensionless)": "Emax_vs_ctrl",
}


def convert(home: Home, files: Sequence[Path]) -> tuple[pd.DataFrame, int]:
    """The table of a home from its downloaded files, in the order of `home.downloads`.

    Returns:
        (table, number of rows left out because RDKit cannot parse their SMILES).

    Raises:
        DataError: A file is not what its name says, or lacks a column.
    """
    try:
        frame = _LAYOUTS[home.layout](list(zip(home.downloads, files, strict=True)))
    except (
        ValueError, OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile
    ) as error:  # fmt: skip
        names = ", ".join(path.name for path in files)
        raise DataError(
            f"{home.file}: its downloads do not have the layout expected ({error}): {names}. "
            f"Delete them and fetch again; if that fails, the original may have changed: see "
            f"{home.seen_at}"
        ) from error
    return _canonical(frame)


def _canonical(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    smiles: list[str | None] = []
    with rdBase.BlockLogs():
        for text in frame["smiles"]:
            mol = Chem.MolFromSmiles(text) if isinstance(text, str) else None
            smiles.append(Chem.MolToSmiles(mol) if mol is not None else None)
    readable = np.array([text is not None for text in smiles], bool)
    frame = frame.assign(smiles=smiles)[readable].reset_index(drop=True)
    return frame, int((~readable).sum())


def _read(path: Path, separator: str = ",") -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.read_csv(path, sep=separator, compression="infer")
    return frame


def _tdc_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of Therapeutics Data Commons under our names."""
    names = {"Drug_ID": "drug_id", "ID": "drug_id", "Drug": "smiles", "X": "smiles", "Y": "y"}
    return frame.rename(columns=names)


def _tdc_group(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    frames = []
    with zipfile.ZipFile(parts[0][1]) as archive:
        for name in sorted(archive.namelist()):
            pieces = Path(name).parts
            if len(pieces) >= 2 and pieces[-1] in ("train_val.csv", "test.csv"):
                with archive.open(name) as stream:
                    frame = _tdc_columns(pd.read_csv(stream))
                frames.append(frame.assign(task=pieces[-2], split=Path(pieces[-1]).stem))
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    joined["smiles_raw"] = joined["smiles"]
    return joined[["task", "split", "drug_id", "smiles", "smiles_raw", "y"]]


def _tdc_single(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    frames = [_tdc_columns(_read(path, "\t")).assign(task=d.part) for d, path in parts]
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return joined[["task", "drug_id", "smiles", "y"]]


def _tdc_ppbr(parts: Parts) -> pd.DataFrame:
    frame = _tdc_columns(_read(parts[0][1], "\t"))
    frame = frame.rename(columns={"Species": "species", "y": "pct_bound"})
    return frame[["drug_id", "smiles", "species", "pct_bound"]]


def _smiles_table(parts: Parts) -> pd.DataFrame:
    """MoleculeNet: a structure column and the measured ones, under the names of the data folder."""
    frame = _read(parts[0][1])
    frame = frame.rename(
        columns={
            "mol": "smiles",  # bace
            "ESOL predicted log solubility in mols per litre": "predicted",
            "measured log solubility in mols per litre": "logp",  # so named in common copies
            "expt": "freesolv",  # measured, in kcal/mol; `calc` beside it is simulated
        }
    )
    text = [c for c in frame.columns if c != "smiles" and not _is_number(frame[c])]
    return frame.drop(columns=text)


def _is_number(column: pd.Series[object]) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def _moleculeace(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    frames = [_read(path).assign(dataset=d.part) for d, path in parts]
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    joined = joined.rename(columns={"exp_mean [nM]": "exp_mean_nM"})
    # Their column y is -log10 of nmol/L.
    joined["pactivity"] = 9.0 - np.log10(joined["exp_mean_nM"])
    return joined[["dataset", "smiles", "exp_mean_nM", "pactivity", "cliff_mol", "split"]]


def _kinases(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for download, path in parts:
        frame = pd.read_csv(path, header=None, names=["smiles", "active"])
        frame["active"] = pd.to_numeric(frame["active"], errors="coerce")  # a header, if any
        frames.append(frame.dropna().assign(task=download.part))
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return joined[["task", "smiles", "active"]]


def _chembl_wide(parts: Parts) -> pd.DataFrame:
    """One column per target, into one row per compound and target; parts merged by median."""
    import pandas as pd

    frames = []
    for download, path in parts:
        wide = _read(path)
        targets = [column for column in wide.columns if str(column).startswith("CHEMBL")]
        long = wide.melt("smiles", targets, "target_chembl_id", "pactivity").dropna()
        # MoleculeNet fills some gaps with 0, which is no potency.
        frames.append(long[long["pactivity"] > 0].assign(subset=download.part))
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    merged: pd.DataFrame = joined.groupby(["target_chembl_id", "smiles"], as_index=False).agg(
        pactivity=("pactivity", "median"),
        n_obs=("pactivity", "size"),
        subset=("subset", lambda names: "+".join(sorted(set(names)))),
    )
    return merged


def _blsets(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    names = ["smiles", "target_chembl_id", "label", "pKi"]
    frame = pd.read_csv(parts[0][1], sep="\t", header=None, names=names)
    frame["pKi"] = pd.to_numeric(frame["pKi"], errors="coerce")  # a header, if any
    frame = frame.dropna(subset=["pKi"])
    return frame[["target_chembl_id", "smiles", "pKi", "label"]]


def _herg_curated(parts: Parts) -> pd.DataFrame:
    frame = _read(parts[0][1])
    structure, name, value = frame.columns[:3]
    return frame.rename(columns={structure: "smiles", name: "chembl_id", value: "pIC50"})[
        ["smiles", "chembl_id", "pIC50"]
    ]


def _herg_raw(parts: Parts) -> pd.DataFrame:
    frame = _read(parts[0][1])
    return frame.rename(columns={"canonical_smiles": "smiles", "mol_chembl_id": "chembl_id"})[
        "smiles chembl_id standard_relation standard_value standard_type standard_units "
        "assay_type confidence_score description".split()
    ]


def _pxr(parts: Parts) -> pd.DataFrame:
    import pandas as pd

    frames = []
    for download, path in parts:
        frame = _read(path).rename(columns=_PXR_COLUMNS)
        counter = download.part == "counter_assay"
        frames.append(
            frame.assign(
                assay="counter_assay" if counter else "pxr",
                split="train" if counter else download.part,
            ).reindex(columns=["assay", "split", *_PXR_COLUMNS.values()])
        )
        if frame.get("smiles") is None or frame.get("pEC50") is None:
            raise KeyError(f"{path.name} has no columns SMILES and pEC50")
    joined: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return joined


_LAYOUTS: dict[Layout, Callable[[Parts], pd.DataFrame]] = {
    "tdc_group": _tdc_group,
    "tdc_single": _tdc_single,
    "tdc_ppbr": _tdc_ppbr,
    "smiles_table": _smiles_table,
    "moleculeace": _moleculeace,
    "kinases": _kinases,
    "chembl_wide": _chembl_wide,
    "blsets": _blsets,
    "herg_curated": _herg_curated,
    "herg_raw": _herg_raw,
    "pxr": _pxr,
}
