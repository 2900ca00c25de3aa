"""A campaign's config: the whole of what `molgen run` reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from molgen.config.base import Section, Smiles
from molgen.config.objective import ObjectiveConfig, PredictorComponent

_MOST_TRADED = 31  # what moocore takes, which measures the hypervolume


class GeneratorConfig(Section):
    """Where molecules come from."""

    prior: str | None = Field(None, description="weights file; default: the shipped prior")
    prompts: list[Smiles] = Field(
        [], description="cores to keep, attachment points as [*:1]; empty: de novo"
    )
    temperature: float = Field(1.0, gt=0, le=2)
    min_heavy_atoms: int | None = Field(None, ge=1, description="default: 4")
    max_heavy_atoms: int = Field(45, ge=2)
    shard_size: int = Field(128, ge=1, description="molecules sampled together by one worker")


class LearningConfig(Section):
    """How the policy follows the reward: it learns the best so far, beside the prior's samples."""

    enabled: bool = True
    examples: list[Smiles] = Field(
        [], description="molecules such as are wanted; after round 0 the prior is tuned to them"
    )
    n_example_updates: int = Field(20, ge=1, description="few, or the policy copies")
    prior_share: float = Field(
        0.5, ge=0, lt=1,
        description="of each update, samples of the prior: the more, the nearer the policy stays",
    )  # fmt: skip
    learning_rate: float = Field(5e-4, gt=0)
    n_updates: int = Field(8, ge=1, description="updates after each round")
    batch_size: int = Field(64, ge=1, description="molecules in an update")
    replay_size: int = Field(256, ge=1, description="best molecules that are learnt from")
    max_per_scaffold: int = Field(25, ge=1, description="of them, molecules of one scaffold")
    n_threads: int = Field(
        1, ge=1, description="torch threads of the learner; more pay only on idle cores"
    )


Move = Literal["sample", "regrow", "link", "cross", "graft", "swap_ring", "edit"]


class SearchConfig(Section):
    """How the next molecules are found; each ingredient can be left out."""

    moves: list[Move] = Field(
        ["sample", "regrow", "link", "cross", "graft", "swap_ring", "edit"], min_length=1,
        description="sample the policy; let it regrow a deleted part; let it link parts of two "
        "parents; join two parents' parts directly; put on a group or put in a ring system such as "
        "the prior draws; change an atom, bond or group. With generator.prompts: sample alone, as "
        "the others do not keep the prompt",
    )  # fmt: skip
    adapt_moves: bool = Field(True, description="moves that pay get a larger share of proposals")
    surrogate: bool = Field(
        True, description="a model of what was scored so far chooses what is scored next"
    )
    proposals_per_call: int = Field(
        20, ge=1, description="with the surrogate: proposals for each molecule that is scored"
    )
    round_share: float = Field(
        0.0, ge=0, le=1,
        description="with the surrogate: a round is so large a share of what was scored so far, if "
        "that is more than round_size: many small rounds while each score teaches much",
    )  # fmt: skip
    max_compounds: int = Field(1500, ge=16, description="that the surrogate is fitted on")
    n_generations: int = Field(
        8, ge=0,
        description="before a round is chosen, the most promising proposals have children, and "
        "these have children: so often, by edit, cross, graft and swap_ring",
    )  # fmt: skip
    generation_size: int = Field(60, ge=1, description="children in each generation")
    n_explored: int = Field(
        3, ge=0,
        description="with the surrogate: parents a round of which many single edits "
        "compete, each parent once, the best first; with the move edit",
    )  # fmt: skip
    n_spares: int = Field(
        200, ge=0,
        description="promising proposals that no call was left for: they compete again in the next "
        "round, and half of its parents are drawn from the best of them",
    )  # fmt: skip
    optimism: float = Field(
        0.5,
        ge=0,
        description="standard deviations added to what the surrogate expects; drawn anew for each "
        "pick, this is the mean",
    )
    random_share: float = Field(0.1, ge=0, le=1, description="of a batch that chance fills")
    drawn_share: float = Field(
        0.1, ge=0, le=1,
        description="of a batch that is kept for what the network sampled, regrew or linked, each "
        "in its turn, and half of a round's proposals with it. 0: none is, and the surrogate "
        "chooses hardly anything but edits of the best",
    )  # fmt: skip
    max_batch_similarity: float = Field(0.85, gt=0, le=1, description="of two in a batch")
    population_size: int = Field(100, ge=2, description="best molecules that serve as parents")
    max_similarity: float = Field(0.75, gt=0, le=1, description="of two of the population")
    max_per_scaffold: int = Field(10, ge=1, description="of the population")
    restart_after: int | None = Field(
        200, ge=1,
        description="scored molecules in which the ten best gain less than 2 % of their mean "
        "reward, or of what it lacks to 1, after which the search begins anew, away from them, and "
        "later goes on from all; with the surrogate, without pareto. null: never",
    )  # fmt: skip
    pareto: bool = Field(
        False,
        description="each round aims at other weights of the components, so that the run covers "
        "their Pareto front; candidates are ranked by front, then by reward",
    )
    plausible_only: bool = Field(
        True, description="drop proposals such as cumulenes or peroxides before they cost a call"
    )
    max_sa_score: float | None = Field(
        4.5, gt=1, le=10,
        description="drop proposals that are harder to make than this (Ertl's score: 1 easy, 10 "
        "hard) before they cost a call; a prompt that is hard itself raises it. null: no bound",
    )  # fmt: skip
    library: str | None = Field(
        None,
        description="file of SMILES whose molecules compete for calls as one more move; salts, "
        "what cannot be read and what is outside the sizes are passed over",
    )


class BudgetConfig(Section):
    """When to stop: the first bound that is reached."""

    n_rounds: int | None = Field(None, ge=1)
    n_oracle_calls: int | None = Field(None, ge=1, description="molecules sent to be scored")
    time_limit_s: float | None = Field(
        None, gt=0, description="checked between rounds; a run stopped by it is not repeatable"
    )
    target_reward: float | None = Field(
        None, gt=0, le=1, description="mean reward of the ten best molecules that is enough"
    )
    patience: int | None = Field(
        None, ge=1, description="rounds in which that mean does not rise, after which to stop"
    )

    @model_validator(mode="after")
    def _any(self) -> BudgetConfig:
        bounds = (self.n_rounds, self.n_oracle_calls, self.time_limit_s, self.patience)
        if all(bound is None for bound in bounds):
            raise ValueError(
                "give at least one of n_rounds, n_oracle_calls, time_limit_s, patience"
            )
        return self


class LocalExecutorConfig(Section):
    """Worker processes on this machine."""

    kind: Literal["local"] = "local"
    n_workers: int = Field(2, ge=1, description="1: everything in the driver's process")
    max_inflight: int = Field(8, ge=1, description="shards under way at once")


class RayExecutorConfig(Section):
    """Actors on Ray; without an address a Ray is started on this machine."""

    kind: Literal["ray"]
    address: str | None = Field(None, description="for example ray://head:10001, or auto")
    n_workers: int = Field(2, ge=1, description="actors of each kind")
    max_inflight: int = Field(8, ge=1)
    generator_cpus: float = Field(1.0, ge=0)
    generator_gpus: float = Field(0.0, ge=0)
    scorer_cpus: float = Field(1.0, ge=0)
    scorer_gpus: float = Field(0.0, ge=0)


Executor = Annotated[LocalExecutorConfig | RayExecutorConfig, Field(discriminator="kind")]


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    uri: str | None = Field(None, description="default: mlflow.db beside the run folders")
    experiment: str = "molgen"


class LedgerConfig(Section):
    """The database of everything proposed and scored."""

    url: str | None = Field(
        None, description="SQLAlchemy URL of an empty database; default: ledger.db in the run"
    )
    reuse_from: list[str] = Field(
        [],
        description="folders of earlier runs with this objective, whose scores are taken over; "
        "such a molecule counts as a call, so the run goes as it would without",
    )
    resend: bool = Field(
        True,
        description="send again what a kill left unanswered. What a scorer itself repeats "
        "(max_restarts, max_retries, a failed batch one by one) is repeated either way",
    )


class ReportConfig(Section):
    """What is written at the end."""

    n_candidates: int = Field(100, ge=1, description="rows of candidates.csv and .sdf")
    n_drawn: int = Field(30, ge=1, description="candidates shown in report.html")
    max_per_scaffold: int = Field(3, ge=1)
    second_opinions: str | None = Field(
        None,
        description="folder of other models of the objective's endpoints, trained by another "
        "method or on other data; what they say stands beside. Default: the shipped ones",
    )
    primary_endpoint: str | None = Field(
        None, description="predictor whose nearest measured compound is shown"
    )


class RunConfig(Section):
    """A campaign: generate, filter, score, learn, report."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[\w-][\w.-]*$")
    description: str = ""
    seed: int = Field(1, ge=0)
    round_size: int = Field(
        64, ge=1, description="molecules scored in a round; without the surrogate, proposed"
    )
    lag: int = Field(
        0, ge=0, description="rounds that may be under way before their results are learnt"
    )
    score_shard_size: int = Field(64, ge=1, description="molecules scored together by one worker")
    generator: GeneratorConfig = GeneratorConfig()
    objective: ObjectiveConfig
    learning: LearningConfig = LearningConfig()
    search: SearchConfig = SearchConfig()
    budget: BudgetConfig
    executor: Executor = LocalExecutorConfig()
    tracking: TrackingConfig = TrackingConfig()
    ledger: LedgerConfig = LedgerConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _parts_are_kept(self) -> RunConfig:
        if self.generator.prompts and self.search.library is not None:
            raise ValueError(
                "search.library: its molecules need not hold a part that generator.prompts keeps; "
                "leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _front_can_be_measured(self) -> RunConfig:
        n_components = len(self.objective.components)
        if self.search.pareto and n_components > _MOST_TRADED:
            raise ValueError(
                f"search.pareto: trades off at most {_MOST_TRADED} components, and there are "
                f"{n_components}"
            )
        return self

    @model_validator(mode="after")
    def _primary_is_a_predictor(self) -> RunConfig:
        primary = self.report.primary_endpoint
        components = self.objective.components
        asked = [c.endpoint for c in components if isinstance(c, PredictorComponent)]
        if primary is not None and primary not in asked:
            there = f"there are {', '.join(asked)}" if asked else "there is none"
            raise ValueError(
                f"report.primary_endpoint: {primary!r} is no predictor of the objective; {there}"
            )
        return self
