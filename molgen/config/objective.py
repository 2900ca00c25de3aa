"""What a good molecule is: the components of a score, the filters, how they are joined."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from molgen.config.base import Section, Smiles

# Columns of the ledger and of the result that a component's values must not overwrite.
RESERVED_COLUMNS = frozenset(
    "id smiles inchikey constitution scaffold round origin parents status reason attempts reward "
    "rank pareto_front worker seconds created_at scored_at".split()
)
_LONGEST_WAIT_S = 1e6  # 11 days; the operating system's own timers end at 24


def _pattern(smarts: str) -> str:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None:
        raise ValueError(f"cannot parse the SMARTS {smarts!r}")
    if not pattern.GetNumAtoms():
        raise ValueError("an empty pattern, which matches nothing")
    return smarts


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is not None:
        raise ValueError(
            "user and password in an address are not sent; ask a service that wants them from a "
            "program or function of your own (type: command, type: python)"
        )
    # Reading the port checks it.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError(f"{url!r} must start with http:// or https:// and name a host")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{url!r}: write what is not a plain letter as %XX, in a host as xn--…")
    try:
        parts.hostname.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"{url!r}: {parts.hostname!r} is no name of a host ({error})") from None
    return url


# What a predictor says besides the value: columns `<endpoint>_<part>`.
PREDICTION_PARTS = (
    "low",
    "high",
    "spread",
    "in_domain",
    "neighbour_inchikey",
    "neighbour_similarity",
    "neighbour_value",
    "neighbour_bound",
)

Smarts = Annotated[str, AfterValidator(_pattern)]
WebAddress = Annotated[str, AfterValidator(_web_address)]
ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$", description="names its columns")]
DescriptorName = Literal[
    "qed",
    "sa_score",
    "molecular_weight",
    "logp",
    "tpsa",
    "n_rotatable_bonds",
    "n_rings",
    "n_heavy_atoms",
    "n_hydrogen_bond_donors",
    "n_hydrogen_bond_acceptors",
]
CatalogName = Literal["PAINS", "BRENK", "NIH", "ZINC"]


class Increasing(Section):
    """Desirability 0 up to `zero_at`, 1 from `one_at`, linear between; `zero_at` < `one_at`."""

    type: Literal["increasing"] = "increasing"
    zero_at: float
    one_at: float

    @model_validator(mode="after")
    def _ordered(self) -> Increasing:
        if not self.zero_at < self.one_at:
            raise ValueError("zero_at must be below one_at (use type: decreasing otherwise)")
        return self


class Decreasing(Section):
    """Desirability 1 up to `one_at`, 0 from `zero_at`, linear between; `one_at` < `zero_at`."""

    type: Literal["decreasing"] = "decreasing"
    one_at: float
    zero_at: float

    @model_validator(mode="after")
    def _ordered(self) -> Decreasing:
        if not self.one_at < self.zero_at:
            raise ValueError("one_at must be below zero_at (use type: increasing otherwise)")
        return self


class Between(Section):
    """Desirability 1 inside [low, high], falling linearly to 0 over `margin` on both sides."""

    type: Literal["between"] = "between"
    low: float
    high: float
    margin: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Between:
        if not self.low <= self.high:
            raise ValueError("low must not be above high")
        return self


Desirability = Annotated[Increasing | Decreasing | Between, Field(discriminator="type")]


class _Component(Section):
    """A part of the objective: a raw value per molecule, mapped to a desirability in [0, 1]."""

    weight: float = Field(1.0, gt=0, description="weight in the aggregation")
    desirability: Desirability


class PredictorComponent(_Component):
    """A trained predictor: value with interval and applicability domain."""

    type: Literal["predictor"]
    endpoint: str = Field(description="name of a predictor folder")
    folder: str | None = Field(None, description="folder of predictors; default: the shipped ones")
    trained_by: str | None = Field(
        None, description="predictor config that makes it, in `folder`, where it is not there yet"
    )
    uncertainty: Literal["ignored", "expected", "lower_bound"] = Field(
        "ignored",
        description="desirability of the value alone; expected over the predictive distribution "
        "(the chance of meeting the profile where the curve is steep); or of the interval's worse "
        "end",
    )
    out_of_domain_factor: float = Field(
        1.0, gt=0, le=1, description="multiplies the desirability of out-of-domain molecules"
    )

    @model_validator(mode="after")
    def _has_a_place(self) -> PredictorComponent:
        if self.trained_by is not None and self.folder is None:
            raise ValueError("trained_by needs `folder`, where the predictor is to be kept")
        return self


class DescriptorComponent(_Component):
    """A value computed from the structure alone, by RDKit."""

    type: Literal["descriptor"]
    name: DescriptorName


class AlertsComponent(_Component):
    """Number of structural alerts (RDKit FilterCatalog); the names go to the report."""

    type: Literal["alerts"]
    catalogs: list[CatalogName] = Field(["BRENK"], min_length=1)


class NoveltyComponent(_Component):
    """1 - Tanimoto similarity (ECFP4) to the nearest known compound of a predictor."""

    type: Literal["novelty"]
    endpoint: str = Field(description="predictor whose measured compounds count as known")
    folder: str | None = None


class SimilarityComponent(_Component):
    """Tanimoto similarity (ECFP4) to the nearest of the given molecules."""

    type: Literal["similarity"]
    name: ColumnName = "similarity"
    smiles: list[Smiles] = Field(min_length=1)


class CommandComponent(_Component):
    """A user's own program: JSON lines over standard input and output; one process a worker."""

    type: Literal["command"]
    name: ColumnName
    command: list[str] = Field(
        min_length=1,
        description="program and arguments; {python} in any: the Python that runs molgen",
    )
    timeout_s: float = Field(
        60.0, gt=0, le=_LONGEST_WAIT_S, description="longest wait for a batch's answer"
    )
    max_restarts: int = Field(2, ge=0, description="restarts for one batch before it fails")
    batch_size: int = Field(64, ge=1)
    stereo_aware: bool = False


class HttpComponent(_Component):
    """A user's own service: the same JSON, posted."""

    type: Literal["http"]
    name: ColumnName
    url: WebAddress
    timeout_s: float = Field(60.0, gt=0, le=_LONGEST_WAIT_S)
    max_retries: int = Field(2, ge=0)
    batch_size: int = Field(64, ge=1)
    stereo_aware: bool = False


class PythonComponent(_Component):
    """A user's own function taking a list of SMILES and returning a list of numbers or None."""

    type: Literal["python"]
    name: ColumnName
    function: str = Field(pattern=r"^[\w.]+:\w+$", description="package.module:function")
    batch_size: int = Field(64, ge=1)
    stereo_aware: bool = False


Component = Annotated[
    PredictorComponent
    | DescriptorComponent
    | AlertsComponent
    | NoveltyComponent
    | SimilarityComponent
    | CommandComponent
    | HttpComponent
    | PythonComponent,
    Field(discriminator="type"),
]


class AlertFilter(Section):
    """Rejects molecules with more than `max_alerts` matches in RDKit's catalogues."""

    type: Literal["alerts"]
    catalogs: list[CatalogName] = Field(["PAINS"], min_length=1)
    max_alerts: int = Field(0, ge=0)


class HazardFilter(Section):
    """Rejects nerve agents, mustards and their like (a short built-in list of patterns)."""

    type: Literal["hazards"]


class RangeFilter(Section):
    """Rejects molecules whose descriptor lies outside [low, high]."""

    type: Literal["range"]
    name: DescriptorName
    low: float = Field(float("-inf"), allow_inf_nan=True)
    high: float = Field(float("inf"), allow_inf_nan=True)

    @model_validator(mode="after")
    def _ordered(self) -> RangeFilter:
        # What a run folder holds has every default written out, and is taken.
        if not self.model_fields_set & {"low", "high"}:
            raise ValueError("rejects nothing; give low, high or both")
        if not self.low <= self.high:
            raise ValueError("low must not be above high")
        return self


class SubstructureFilter(Section):
    """Rejects molecules that match any of `forbid` or miss any of `require` (SMARTS)."""

    type: Literal["substructure"]
    forbid: list[Smarts] = []
    require: list[Smarts] = []

    @model_validator(mode="after")
    def _any(self) -> SubstructureFilter:
        # As above.
        if not self.model_fields_set & {"forbid", "require"}:
            raise ValueError("rejects nothing; give patterns to forbid, to require or both")
        return self


class KnownFilter(Section):
    """Rejects molecules whose ECFP4 similarity to a predictor's known compounds is too high.

    At `max_similarity` 1.0 only molecules indistinguishable from a known one by InChIKey
    (first block) are rejected.
    """

    type: Literal["known"]
    endpoint: str
    folder: str | None = None
    max_similarity: float = Field(1.0, gt=0, le=1)


Filter = Annotated[
    AlertFilter | HazardFilter | RangeFilter | SubstructureFilter | KnownFilter,
    Field(discriminator="type"),
]


class ObjectiveConfig(Section):
    """Filters, then components, then one reward in [0, 1]."""

    aggregation: Literal["geometric_mean", "product", "arithmetic_mean"] = "geometric_mean"
    filters: list[Filter] = []
    components: list[Component] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique_names(self) -> ObjectiveConfig:
        names = [component_name(c) for c in self.components]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two components are called {twice[0]!r}; names must differ")
        columns = [column for c in self.components for column in component_columns(c)]
        clashing = sorted({n for n in columns if n in RESERVED_COLUMNS or columns.count(n) > 1})
        if clashing:
            raise ValueError(
                f"the column {clashing[0]!r} would be written twice; rename the component"
            )
        return self

    @property
    def is_stereo_aware(self) -> bool:
        """Whether any component tells stereoisomers apart, so that each counts for itself."""
        return any(
            component.stereo_aware
            for component in self.components
            if isinstance(component, CommandComponent | HttpComponent | PythonComponent)
        )


def component_name(component: Component) -> str:
    """The column name of a component's raw value in the ledger and in candidates.csv."""
    if isinstance(component, PredictorComponent):
        return component.endpoint
    if isinstance(component, AlertsComponent):
        return "n_alerts"
    if isinstance(component, NoveltyComponent):
        return "novelty"
    return component.name


def component_columns(component: Component) -> list[str]:
    """All columns a component writes: raw value, desirability, and what it knows besides."""
    name = component_name(component)
    columns = [name, f"{name}_desirability"]
    if isinstance(component, PredictorComponent):
        columns += [f"{name}_{part}" for part in PREDICTION_PARTS]
    if isinstance(component, AlertsComponent):
        columns.append("alerts")
    return columns
