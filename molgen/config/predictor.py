"""A predictor's training: what to learn, from which table, with which members."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from molgen.config.base import Section

if TYPE_CHECKING:
    from property_models.endpoints import Endpoint


Transform = Literal["none", "log10", "logit_percent"]
RULES = ("conflict_limit", "conflicts", "censored")  # of DataConfig: for a known table, too
SISTERS = "sisters"
_PROBABILITY = "probability"
_NEGATIVE_LOG = re.compile(r"p[A-Z]|-\s*log(10)?\s*\(?(M|mol/L)\b")


class EndpointConfig(Section):
    """An endpoint of the user's own; its name becomes the column and the folder name.

    Without a `unit`, a classification is in probability and a regression in the unit of its data:
    `data.unit`, or -log10(mol/L) after `neg_log10_molar`.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    task: Literal["regression", "classification"]
    unit: str = ""
    higher_is: Literal["better", "worse", "neutral"]
    meaning: str = ""
    assay: str = ""
    source: str = ""

    @field_validator("name")
    @classmethod
    def _is_no_other_column(cls, name: str) -> str:
        from property_models.predictor import PARTS

        if name in ("reason", "smiles") or name.endswith(tuple(f"_{part}" for part in PARTS)):
            raise ValueError(f"{name!r} is another column's name in every table of predictions")
        return name

    @model_validator(mode="after")
    def _unit_of_its_task(self) -> EndpointConfig:
        if self.task == "regression" and self.unit == _PROBABILITY:
            raise ValueError(
                "unit: probability is that of a classification; give the unit of the values, such "
                "as pIC50 or log10(mol/L)"
            )
        return self


class DataConfig(Section):
    """The table: a known `dataset`, or a `file` (.csv or .parquet) with the columns named here.

    A known one has its own columns and unit; of the fields below only the last three apply to it.
    Signs of bounds ('>10000', '<0.5', '~3') may stand in the value column or in a column of
    their own. `unit` or `unit_column` with `transform: neg_log10_molar` turns concentrations
    into -log10(mol/L); without a transform `unit` must be the endpoint's. The last three fields
    say how several values of one structure become one; `conflict_limit` is in the endpoint's unit
    (null: a data set's own; of a file one log unit after that transform, else none). With
    `unit_column` and that transform `unit` is that of rows without one. Years, of
    `molgen data report` alone, decide no split here.
    """

    dataset: str | None = None
    file: Path | None = None
    smiles_column: str = "smiles"
    value_column: str = "value"
    licence: str = "not stated"
    unit: str = ""
    unit_column: str = ""
    relation_column: str = ""
    year_column: str = ""
    assay_column: str = ""
    transform: Literal["none", "neg_log10_molar"] = "none"
    conflict_limit: float | None = Field(default=None, gt=0)
    conflicts: Literal["drop", "keep"] = "drop"
    censored: Literal["bound", "drop"] = "bound"

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.dataset is None) == (self.file is None):
            raise ValueError("give either `dataset` or `file`")
        # A config that was written out holds every default, and is taken.
        idle = [
            name
            for name, field in type(self).model_fields.items()
            if name not in ("dataset", "file", *RULES) and getattr(self, name) != field.default
        ]
        if self.dataset is not None and idle:
            raise ValueError(
                f"{', '.join(idle)}: a known `dataset` has its own; leave out, or name a `file`"
            )
        return self


class TreesConfig(Section):
    """Boosted trees (LightGBM) on fingerprints, reduced graphs and descriptors."""

    kind: Literal["boosted_trees"]
    n_trees: int = Field(default=800, ge=1)
    learning_rate: float = Field(default=0.04, gt=0, le=1)
    n_leaves: int = Field(default=31, ge=2)
    min_compounds_per_leaf: int = Field(default=8, ge=1)
    column_share: float = Field(default=0.15, gt=0, le=1)
    row_share: float = Field(default=0.8, gt=0, le=1)
    l2: float = Field(default=1.0, ge=0)
    loss: Literal["mse", "mae", "huber"] = "mse"
    n_seeds: int = Field(default=1, ge=1)
    transform: Transform = "none"
    weight: float = Field(default=1.0, gt=0)


class ForestConfig(Section):
    """Random forest (LightGBM) on the same columns; at its best on a few hundred compounds."""

    kind: Literal["random_forest"]
    n_trees: int = Field(default=200, ge=1)
    n_leaves: int = Field(default=256, ge=2)
    min_compounds_per_leaf: int = Field(default=1, ge=1)
    column_share: float = Field(default=0.1, gt=0, le=1)
    row_share: float = Field(default=0.7, gt=0, lt=1)
    transform: Transform = "none"
    weight: float = Field(default=1.0, gt=0)


class KernelConfig(Section):
    """Gaussian process on Tanimoto kernels of several fingerprints and on descriptors.

    `ecfp_shared` is a kernel of shared counts: what is a sum over substructures.
    Memory grows with the square of `max_compounds`; larger tables are fitted through landmarks.
    """

    kind: Literal["tanimoto_kernel"]
    fingerprints: tuple[Literal["ecfp", "fcfp", "atom_pairs", "torsions", "ecfp_shared"], ...] = (
        Field(default=("ecfp", "fcfp", "atom_pairs", "torsions"), min_length=1)
    )
    descriptors: bool = True
    max_compounds: int = Field(default=4000, ge=50)
    transform: Transform = "none"
    weight: float = Field(default=1.0, gt=0)


class NetworkConfig(Section):
    """Message-passing networks on molecular graphs (PyG); `min_steps` is for small tables."""

    kind: Literal["network"]
    n_layers: int = Field(default=3, ge=1)
    n_channels: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    n_epochs: int = Field(default=15, ge=1)
    min_steps: int = Field(default=0, ge=0)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    fingerprints: bool = False
    n_members: int = Field(default=1, ge=1)
    transform: Transform = "none"
    weight: float = Field(default=1.0, gt=0)


MemberConfig = Annotated[
    TreesConfig | ForestConfig | KernelConfig | NetworkConfig, Field(discriminator="kind")
]


class PredictorConfig(Section):
    """The whole file. `endpoint` is a catalogue name, or describes one of the user's own.

    With `weights: stacked` the members' shares in the score are learnt on their out-of-fold
    scores, minimising `loss`; with `weights: fixed` each member's `weight` counts. Networks
    learn the `auxiliary` endpoints as well (names of the catalogue, or [sisters] for the
    endpoint's own panel); `strict` leaves compounds that are held out of the endpoint out of
    them. `cluster_split` adds a second, harder cross-validation to the card. Folds run in
    `n_processes` where the table is large enough to gain from it; the result is the same.
    """

    schema_version: Literal[1] = 1
    endpoint: str | EndpointConfig
    data: DataConfig | None = None
    members: tuple[MemberConfig, ...] = Field(min_length=1)
    weights: Literal["stacked", "fixed"] = "stacked"
    loss: Literal["mse", "mae"] = "mse"
    auxiliary: tuple[str, ...] = ()
    strict: bool = True
    folds: int = Field(default=5, ge=2)
    cluster_split: bool = True
    official_test: bool = False
    n_processes: int = Field(default=2, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _names_are_known(self) -> PredictorConfig:
        from property_models.endpoints import endpoint
        from property_models.errors import DataError
        from property_models.sources import find_source

        try:
            if isinstance(self.endpoint, str):
                endpoint(self.endpoint)
            elif self.data is None:
                raise ValueError(f"endpoint {self.endpoint.name!r} needs `data`")
            if self.data is not None and self.data.dataset is not None:
                find_source(self.data.dataset)
            self.resolved_auxiliary()
        except DataError as error:  # pydantic collects ValueErrors with their place in the file
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _units_agree(self) -> PredictorConfig:
        about, data = self.resolved_endpoint(), self.data
        if data is None or about.task == "classification":
            return self
        if data.transform == "neg_log10_molar":
            if not _NEGATIVE_LOG.match(about.unit):
                raise ValueError(
                    f"endpoint {about.name} is in {about.unit}, but data.transform: "
                    "neg_log10_molar makes -log10(mol/L) of the values: give an endpoint of your "
                    "own with that unit, such as pIC50, or leave the transform out"
                )
        elif data.unit and not _same_unit(data.unit, about.unit):
            raise ValueError(
                f"data.unit is {data.unit}, but endpoint {about.name} is in {about.unit}, and "
                "without data.transform the values stay in data.unit: convert the table, or give "
                "both the same unit"
            )
        return self

    @model_validator(mode="after")
    def _members_are_of_the_task(self) -> PredictorConfig:
        kinds = [member.kind for member in self.members]
        if self.auxiliary and "network" not in kinds:
            raise ValueError("auxiliary: only a member of kind network learns other endpoints")
        if self.resolved_endpoint().task == "regression":
            return self
        if self.loss != "mse":
            raise ValueError(f"loss: {self.loss} is for regression")
        for i, member in enumerate(self.members):
            loss = member.loss if isinstance(member, TreesConfig) else "mse"
            if member.transform != "none" or loss != "mse":
                raise ValueError(
                    f"members.{i}: transform and loss are for regression; labels are learnt as "
                    "they are"
                )
        return self

    def resolved_endpoint(self) -> Endpoint:
        """The endpoint, from the catalogue or as described here, with a unit where one is known."""
        from property_models.endpoints import Endpoint, endpoint

        if isinstance(self.endpoint, str):
            return endpoint(self.endpoint)
        described = self.endpoint.model_dump()
        return Endpoint(**{**described, "unit": self.endpoint.unit or self._unit_of_data()})

    def _unit_of_data(self) -> str:
        """Unit of the values that are learnt; '' where the config does not tell."""
        if not isinstance(self.endpoint, str) and self.endpoint.task == "classification":
            return _PROBABILITY
        if self.data is None:
            return ""
        return "-log10(mol/L)" if self.data.transform == "neg_log10_molar" else self.data.unit

    def resolved_auxiliary(self) -> tuple[str, ...]:
        """Names of the sister endpoints; `sisters` stands for the endpoint's own panel.

        Raises:
            DataError: A name is not in the catalogue.
        """
        from property_models.endpoints import endpoint, sisters

        if self.auxiliary != (SISTERS,):
            return tuple(endpoint(name).name for name in self.auxiliary)
        name = self.resolved_endpoint().name
        return tuple(sister.name for sister in sisters(name))


def _same_unit(first: str, second: str) -> bool:
    """Whether two units are one, however written: uM, µM and umol/L."""
    from property_models.measurements import MOLAR

    return first == second or (first in MOLAR and MOLAR[first] == MOLAR.get(second))
