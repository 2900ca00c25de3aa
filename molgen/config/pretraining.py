"""The config of `molgen pretrain`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from molgen.config.base import Section


class StructuresConfig(Section):
    """Which structures to learn from."""

    file: str = Field(
        description=".smi, .csv, .tsv or .parquet; looked for here, then below MOLGEN_DATA"
    )
    smiles_column: str = Field("smiles", description="of a table; ignored for .smi")
    rows: str | None = Field(None, description="pandas query choosing the rows of a table")
    max_heavy_atoms: int = Field(50, ge=2, le=64)
    n_rooted_rings: int = Field(
        2500, ge=1, le=32767, description="ring actions of a new vocabulary"
    )
    min_atom_count: int = Field(100, ge=1, description="molecules an atom type must occur in")
    validation_share: float = Field(0.005, gt=0, lt=0.5)


class NetworkConfig(Section):
    """Size of a new network."""

    width: int = Field(192, ge=16)
    n_layers: int = Field(6, ge=1)
    n_heads: int = Field(6, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> NetworkConfig:
        if self.width % self.n_heads:
            raise ValueError("width must be a multiple of n_heads")
        return self


class OptimisationConfig(Section):
    """Muon and AdamW with warm-up, a constant stretch and a linear decay to zero."""

    n_molecules: int = Field(1_000_000, ge=1, description="molecules seen, repeats counted")
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0, description="AdamW: embeddings, biases, heads")
    matrix_learning_rate: float = Field(0.02, gt=0, description="Muon: the layers' matrices")
    warmup_steps: int = Field(300, ge=0)
    decay_share: float = Field(0.3, ge=0, le=1, description="last part, in which the rate falls")
    weight_decay: float = Field(0.01, ge=0)
    prompt_share: float = Field(
        0.4, ge=0, le=1, description="molecules that start from a random kept part"
    )
    bfloat16: bool | None = Field(
        None,
        description="matrix products in bfloat16; null: where the processor has instructions for "
        "it, since without them it is many times slower",
    )
    compile: bool = Field(
        False,
        description="translate the network with torch.compile: about a fifth faster after a "
        "minute's delay; needs a C++ compiler",
    )
    n_threads: int = Field(1, ge=1, description="of one process; see n_workers")
    n_workers: int = Field(
        1, ge=1,
        description="processes of Ray Train that share each batch, each on its own GPU if there "
        "are enough; on CPUs two workers are faster than two threads",
    )  # fmt: skip
    checkpoint_every_s: float = Field(180.0, gt=0)
    time_limit_s: float | None = Field(None, gt=0, description="stop after a slice; resume later")

    @model_validator(mode="after")
    def _divides(self) -> OptimisationConfig:
        if self.batch_size % self.n_workers:
            raise ValueError("batch_size must be a multiple of n_workers")
        return self


class PretrainingConfig(Section):
    """Train a generator on structures, from scratch or from weights."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[\w-][\w.-]*$")
    seed: int = Field(1, ge=0, le=2**63 - 1)
    start_from: str | None = Field(
        None,
        description="weights to train further, or `shipped` for the shipped prior; they give the "
        "network and the vocabulary",
    )
    data: StructuresConfig
    network: NetworkConfig = NetworkConfig()
    training: OptimisationConfig = OptimisationConfig()
