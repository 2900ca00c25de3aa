"""From a run folder to an open campaign, and from an open campaign to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from molgen.campaign.loop import Campaign, check_budget, run_campaign
from molgen.campaign.reuse import known_scores
from molgen.campaign.run_folder import RunFolder
from molgen.campaign.workers import make_scorer
from molgen.config.campaign import LocalExecutorConfig, RunConfig
from molgen.errors import ConfigError, DataError, MolgenError
from molgen.generator.prompts import parse_prompt
from molgen.generator.sampler import SamplingOptions, check_room
from molgen.generator.weights import load_network
from molgen.ledger import Ledger
from molgen.objectives import SHIPPED_PREDICTORS, check_objective
from molgen.report import ReportFiles, write_report
from molgen.report.second_opinion import other_models
from molgen.runtime.checkpoint import load_checkpoint
from molgen.runtime.executor import WorkerPool
from molgen.runtime.executors import make_executor
from molgen.runtime.tracking import Tracker, default_uri, no_tracker
from molgen.search.engine import Search
from molgen.search.policy import Policy, make_plan
from molgen.search.proposing import make_generator

OnRound = Callable[[int, dict[str, float]], None]

_N_DONORS = 1000  # samples of the prior, parts of which are put on other molecules


def check_campaign(config: RunConfig) -> None:
    """Find what can be found wrong before any work starts.

    Raises:
        MolgenError: a predictor, scorer program, prior or prompt that cannot be used.
    """
    check_objective(config.objective, SHIPPED_PREDICTORS)
    Search(config)  # reads the library
    known_scores(config)
    other_models(config)  # reads them
    network = load_network(_prior(config))
    prompts = [
        parse_prompt(p, network.vocabulary, network.tables) for p in config.generator.prompts
    ]
    for prompt in [None, *prompts]:
        check_room(network, prompt, _sampling(config))
    for i, smiles in enumerate(config.learning.examples):
        if make_plan(smiles, None, network) is None:
            raise ConfigError(
                f"learning.examples.{i}: the generator cannot build {smiles!r} (a salt, an element "
                f"it does not know, or more than {network.size.max_atoms} heavy atoms)"
            )


def execute(config: RunConfig, folder: RunFolder, on_round: OnRound) -> tuple[str, ReportFiles]:
    """Run a campaign in its folder to the end and write its report.

    Args:
        config: the run's.
        folder: new, or of a run to go on with.
        on_round: called with every finished round.

    Returns:
        What ended the run, and the files made.

    Raises:
        MolgenError: also where the folder is in use by another process; whatever happens, the
            manifest says how the run stands. Where a run is not gone on with, it stands as before.
    """
    with _locked(folder), _tracker(config, folder) as tracker:

        def report_round(number: int, statistics: dict[str, float]) -> None:
            tracker.metrics(statistics, number)
            on_round(number, statistics)

        stood = folder.manifest().get("status", "running")
        status = "failed"
        try:
            with open_campaign(config, folder) as campaign:
                check_budget(campaign)
                folder.take_up(config)
                stood = "running"
                tracker.params(_flat(config.model_dump(mode="json")))
                tracker.text(folder.config_file.read_text(), folder.config_file.name)
                ended = run_campaign(campaign, report_round)
            status = "finished"
        except (KeyboardInterrupt, MolgenError):
            status = "interrupted" if stood == "running" else stood
            raise
        finally:
            folder.note(status=status)
        files = write_report(folder.path)
        for file in (files.candidates_csv, files.candidates_sdf, files.report_html):
            tracker.artifact(file)
        tracker.artifact(folder.manifest_file)
        return ended, files


@contextmanager
def open_campaign(config: RunConfig, folder: RunFolder) -> Iterator[Campaign]:
    """Ledger, workers and policy of a run, as its last checkpoint left them.

    Raises:
        MolgenError: also where the ledger is not that of the run.
    """
    prior = load_network(_prior(config))
    prompts = [parse_prompt(p, prior.vocabulary, prior.tables) for p in config.generator.prompts]
    policy = Policy(prior, config.learning, prompts, _sampling(config), config.seed)
    search = Search(config)
    next_round, weights = 0, None
    checkpoint = load_checkpoint(folder.checkpoints)
    if checkpoint is not None:
        tensors, state = checkpoint
        next_round = state["next_round"]
        if state["version"]:
            policy.restore(tensors, state["version"])
            weights = policy.weights()
    known = known_scores(config)
    with ExitStack() as opened:
        ledger = _open_ledger(config, folder, next_round)
        opened.callback(ledger.close)
        executor = make_executor(config.executor, pools(config))
        opened.callback(executor.close)
        yield Campaign(
            config, ledger, executor, policy, search, folder.checkpoints, next_round, weights, known
        )


def _open_ledger(config: RunConfig, folder: RunFolder, next_round: int) -> Ledger:
    """The ledger of a run; made where the run has none yet.

    A run that has begun and found an empty one would pay for everything again.
    """
    has_one = folder.manifest().get("ledger_made", False) or next_round > 0
    ledger = Ledger.open(config.ledger.url or folder.ledger_file, create=not has_one)
    missing = set(range(next_round)) - set(ledger.rounds()["round"])
    if missing:
        ledger.close()
        raise DataError(
            f"{ledger.name}: lacks round {min(missing)} of the run, which its checkpoint has "
            "learnt; restore the ledger, or start a new run"
        )
    folder.note(ledger_made=True)
    return ledger


def pools(config: RunConfig) -> list[WorkerPool]:
    """The workers of a campaign; none is built yet."""
    e = config.executor
    takes = {"graft", "swap_ring"} & set(config.search.moves) and not config.generator.prompts
    generator = partial(
        make_generator, _prior(config), config.generator.prompts, _sampling(config),
        config.search.plausible_only, config.search.max_sa_score,
        _N_DONORS if takes else 0, [config.seed, 0, 0, 0, 14],
    )  # fmt: skip
    scorer = partial(make_scorer, config.objective)
    once = {} if config.ledger.resend else {"max_attempts": 1}
    if isinstance(e, LocalExecutorConfig):
        return [
            WorkerPool("generator", generator, e.n_workers),
            WorkerPool("scorer", scorer, e.n_workers, **once),
        ]
    return [
        WorkerPool("generator", generator, e.n_workers, e.generator_cpus, e.generator_gpus),
        WorkerPool("scorer", scorer, e.n_workers, e.scorer_cpus, e.scorer_gpus, **once),
    ]


def _prior(config: RunConfig) -> Path | None:
    return Path(config.generator.prior) if config.generator.prior else None


def _sampling(config: RunConfig) -> SamplingOptions:
    g = config.generator
    return SamplingOptions(g.temperature, g.min_heavy_atoms, g.max_heavy_atoms)


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(folder.path / ".lock").acquire(timeout=0))
        except Timeout:
            raise ConfigError(f"{folder.path}: another process is running this campaign") from None
        except OSError as error:
            raise ConfigError(f"{folder.path}: cannot be written ({error.strerror})") from error
        yield


def _tracker(config: RunConfig, folder: RunFolder) -> Any:
    if not config.tracking.enabled:
        return no_tracker()
    return Tracker(
        uri=config.tracking.uri or default_uri(folder.path.parent),
        experiment=config.tracking.experiment,
        run_name=folder.path.name,
        run_id=folder.manifest().get("mlflow_run_id"),
        on_new_run=lambda run_id: folder.note(mlflow_run_id=run_id),
    )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    if isinstance(node, dict):
        items = list(node.items())
    elif isinstance(node, list) and any(isinstance(i, dict) for i in node):
        items = [(str(i), value) for i, value in enumerate(node)]
    else:
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in items:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat
