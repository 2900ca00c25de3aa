"""A predictor's training: what to learn, from which table, with which members."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from molgen.config.base import Section

if TYPE_CHECKING:
    from property_models.endpoints import Endpoint


class EndpointConfig(Section):
    """An endpoint of the user's own; its name becomes the column and the folder name."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    task: Literal["regression", "classification"]
    unit: str = "probability"
    higher_is: Literal["better", "worse", "neutral"]
    meaning: str = ""
    assay: str = ""
    source: str = ""


class DataConfig(Section):
    """The table: a known `dataset`, or a `file` (.csv or .parquet) with the columns named here."""

    dataset: str | None = None
    file: Path | None = None
    smiles_column: str = "smiles"
    value_column: str = "value"
    licence: str = "not stated"

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.dataset is None) == (self.file is None):
            raise ValueError("give either `dataset` or `file`")
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
    weight: float = Field(default=1.0, gt=0)


class KernelConfig(Section):
    """Gaussian process on count-Tanimoto similarity; memory grows with compounds squared."""

    kind: Literal["tanimoto_kernel"]
    noise_ratios: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0), min_length=1
    )
    weight: float = Field(default=1.0, gt=0)


class NetworkConfig(Section):
    """Message-passing network on molecular graphs (PyG)."""

    kind: Literal["network"]
    n_layers: int = Field(default=3, ge=1)
    n_channels: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    n_epochs: int = Field(default=15, ge=1)
    batch_size: int = Field(default=64, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    weight: float = Field(default=1.0, gt=0)


MemberConfig = Annotated[TreesConfig | KernelConfig | NetworkConfig, Field(discriminator="kind")]


class PredictorConfig(Section):
    """The whole file. `endpoint` is a catalogue name, or describes one of the user's own.

    A member's `weight` is its share in the mean of all members' scores.
    """

    schema_version: Literal[1] = 1
    endpoint: str | EndpointConfig
    data: DataConfig | None = None
    members: tuple[MemberConfig, ...] = Field(min_length=1)
    folds: int = Field(default=5, ge=2)
    official_test: bool = False
    seed: int = Field(default=0, ge=0)

    @field_validator("members")
    @classmethod
    def _each_kind_once(cls, members: tuple[Any, ...]) -> tuple[Any, ...]:
        kinds = [member.kind for member in members]
        repeated = {kind for kind in kinds if kinds.count(kind) > 1}
        if repeated:
            raise ValueError(f"each kind may be used once; repeated: {', '.join(sorted(repeated))}")
        return members

    @model_validator(mode="after")
    def _names_are_known(self) -> PredictorConfig:
        from property_models.datasets import find_source
        from property_models.endpoints import endpoint
        from property_models.errors import DataError

        try:
            if isinstance(self.endpoint, str):
                endpoint(self.endpoint)
            elif self.data is None:
                raise ValueError(f"endpoint {self.endpoint.name!r} needs `data`")
            if self.data is not None and self.data.dataset is not None:
                find_source(self.data.dataset)
        except DataError as error:  # pydantic collects ValueErrors with their place in the file
            raise ValueError(str(error)) from error
        return self

    def resolved_endpoint(self) -> Endpoint:
        """The endpoint, from the catalogue or as described here."""
        from property_models.endpoints import Endpoint, endpoint

        if isinstance(self.endpoint, str):
            return endpoint(self.endpoint)
        return Endpoint(**self.endpoint.model_dump())
