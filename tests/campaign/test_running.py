"""A campaign from its config to its report, and what stops one."""

from __future__ import annotations

import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from rdkit import Chem

from molgen.campaign.run_folder import (
    new_run_folder,
    objective_hashes,
    open_run_folder,
)
from molgen.campaign.wiring import check_campaign, execute, pools
from molgen.config.loading import dump_config, load_config
from molgen.config.objective import KnownFilter
from molgen.errors import ConfigError, DataError
from molgen.ledger import Ledger, NewMolecule
from molgen.objectives import SHIPPED_PREDICTORS
from tests.campaign.campaigns import (
    CHEAP,
    UP,
    assert_same_ledger,
    ledger_of,
    nothing,
    resume,
    rounds_of,
    run,
    tiny,
)
from tests.campaign.scorers import LoggingOracle
from tests.commands import complaint, molgen


def test_a_campaign_ends_in_candidates_a_report_and_an_mlflow_run(
    prior_file: Path, tmp_path: Path
) -> None:
    ledger = {"url": f"sqlite:///{tmp_path / 'ledger.db'}?timeout=31"}
    config = tiny(prior_file, tracking={"enabled": True, "experiment": "tests"}, ledger=ledger)
    folder = new_run_folder(config, tmp_path / "runs" / "one")
    seen: list[int] = []
    ended, files = execute(config, folder, lambda number, statistics: seen.append(number))
    assert ended == "4 rounds"
    assert seen == [0, 1, 2, 3]
    table = ledger_of(tmp_path)
    candidates = pd.read_csv(files.candidates_csv)
    assert 1 <= len(candidates) <= 10
    assert candidates["reward"].max() == pytest.approx(table["reward"].max())
    assert len([m for m in Chem.SDMolSupplier(str(files.candidates_sdf)) if m]) == len(candidates)
    assert "<svg" in files.report_html.read_text()
    assert load_config(folder.config_file) == config

    manifest = folder.manifest()
    assert manifest["status"] == "finished"
    assert manifest["seed"] == 5 and len(manifest["sha256"]["prior"]) == 64
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db")
    logged = client.get_run(manifest["mlflow_run_id"])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["budget.n_rounds"] == "4"
    assert logged.data.params["ledger.url"] == ledger["url"].replace("=31", "=***")
    (mirrored,) = (tmp_path / "runs" / "mlartifacts").rglob("config.yaml")
    assert "timeout=***" in mirrored.read_text() and "=31" not in mirrored.read_text()
    history = client.get_metric_history(manifest["mlflow_run_id"], "reward_mean")
    rounds = rounds_of(tmp_path)
    assert [m.step for m in history] == [0, 1, 2, 3]
    np.testing.assert_allclose([m.value for m in history], rounds["reward_mean"])


def test_the_rounds_add_up(prior_file: Path, tmp_path: Path) -> None:
    table = run(tiny(prior_file), tmp_path / "run")
    rounds = rounds_of(tmp_path / "run")
    # Three a call, once something is known, 250 edits of the best parent, and two generations of
    # twelve bred from them.
    assert list(rounds["n_proposed"]) == [24, 346, 346, 346]
    by_arm = [c for c in rounds if c.startswith("n_proposed_")]
    assert (rounds[by_arm].fillna(0).sum(axis=1) == rounds["n_proposed"]).all()
    assert (table.groupby("round")["status"].apply(lambda s: (s == "scored").sum()) <= 24).all()
    assert (rounds["n_unique"] <= rounds["n_proposed"]).all()
    for number, its_round in rounds.iterrows():
        rows = table[table["round"] == number]
        statuses = rows["status"].value_counts()
        assert its_round["n_new"] == len(rows)
        for status in ("scored", "unscored", "filtered", "duplicate"):
            assert its_round[f"n_{status}"] == statuses.get(status, 0)
        scored = rows[rows["status"] == "scored"]
        assert its_round["reward_mean"] == pytest.approx(scored["reward"].mean())
        assert its_round["mean_qed"] == pytest.approx(scored["qed"].mean())
        sofar = table[(table["round"] <= number) & (table["status"] == "scored")]["reward"]
        assert its_round["reward_top10"] == pytest.approx(sofar.nlargest(10).mean())
        assert its_round["n_oracle_calls"] == len(sofar)
    assert rounds.loc[0, "prior_reward_mean"] == rounds.loc[0, "reward_mean"]


def test_the_priors_mean_is_that_of_plain_samples(prior_file: Path, tmp_path: Path) -> None:
    """Examples are parents from the first round on; what is made of them is not the prior's."""
    examples = ["CC(=O)Nc1ccc(O)cc1", "CCOC(=O)c1ccc(N)cc1", "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
                "CCN(CC)CC(=O)Nc1c(C)cccc1C", "CNC(=O)c1ccccc1"]  # fmt: skip
    config = tiny(prior_file, learning__examples=examples, budget={"n_rounds": 1})
    table = run(config, tmp_path / "run")
    samples = table[table["origin"] == "sample"]
    assert 0 < len(samples) < len(table)
    found = rounds_of(tmp_path / "run").loc[0, "prior_reward_mean"]
    assert found == pytest.approx(samples["reward"].mean())


def test_rewards_are_what_the_values_say(prior_file: Path, tmp_path: Path) -> None:
    table = run(tiny(prior_file, budget={"n_rounds": 1}), tmp_path / "run")
    scored = table[table["status"] == "scored"]
    parts = scored[["qed_desirability", "sa_score_desirability", "carbon_desirability"]]
    np.testing.assert_allclose(scored["reward"], parts.prod(axis=1) ** (1 / 3), rtol=1e-9)
    for row in scored.to_dict("records"):
        mol = Chem.MolFromSmiles(row["smiles"])
        assert Chem.MolToSmiles(mol) == row["smiles"]
        assert Chem.MolToInchiKey(mol) == row["inchikey"]


def test_the_policy_gets_better(prior_file: Path, tmp_path: Path) -> None:
    """An easy aim: carbon."""
    config = tiny(
        prior_file, CHEAP[2], budget={"n_rounds": 7}, round_size=48,
        learning={"n_updates": 8, "batch_size": 16, "learning_rate": 1e-2},
    )  # fmt: skip
    run(config, tmp_path / "run")
    reward = rounds_of(tmp_path / "run")["reward_mean"]
    assert reward[4:].mean() > reward[0] + 0.05


def test_every_molecule_contains_one_of_the_prompts(prior_file: Path, tmp_path: Path) -> None:
    prompts = ["[*:1]c1ccccc1", "O=C([*:1])N[*:2]"]
    config = tiny(prior_file, generator__prompts=prompts, budget={"n_rounds": 2})
    table = run(config, tmp_path / "run")
    assert set(table["origin"]) == {"sample, prompt 0", "sample, prompt 1"}
    cores = {"sample, prompt 0": "c1ccccc1", "sample, prompt 1": "[CX3](=O)N"}
    for row in table.to_dict("records"):
        pattern = Chem.MolFromSmarts(cores[row["origin"]])
        assert Chem.MolFromSmiles(row["smiles"]).HasSubstructMatch(pattern)


def test_prompts_take_turns_over_the_rounds_where_a_round_has_fewer_shards(
    prior_file: Path, tmp_path: Path
) -> None:
    prompts = ["[*:1]c1ccccc1", "O=C([*:1])N[*:2]", "[*:1]c1ccncc1"]
    config = tiny(prior_file, generator__prompts=prompts, budget={"n_rounds": 3})
    config = config.model_copy(
        update={"generator": config.generator.model_copy(update={"shard_size": 512})}
    )
    table = run(config, tmp_path / "run")
    origins = table.groupby("round")["origin"].unique()
    assert [list(o) for o in origins] == [[f"sample, prompt {i}"] for i in range(3)]


@pytest.mark.parametrize("lag", [0, 1])
def test_the_budget_of_oracle_calls_is_exact(prior_file: Path, tmp_path: Path, lag: int) -> None:
    oracle = LoggingOracle(tmp_path / "oracle")
    config = tiny(prior_file, oracle.component(), budget={"n_oracle_calls": 37}, lag=lag)
    table = run(config, tmp_path / "run")
    assert (table["status"] == "scored").sum() == 37
    assert len(oracle.asked()) == len(set(oracle.asked())) == 37
    more = resume(tmp_path / "run", "budget.n_oracle_calls=40")
    assert (more["status"] == "scored").sum() == 40
    assert len(set(oracle.asked())) == len(oracle.asked()) == 40


@pytest.mark.parametrize("lag", [0, 2])
def test_it_stops_when_the_target_is_reached_and_when_nothing_is_gained(
    prior_file: Path, tmp_path: Path, lag: int
) -> None:
    config = partial(tiny, prior_file, lag=lag, search__n_explored=0)
    whole = run(config(budget={"n_rounds": 8}), tmp_path / "whole")
    best = rounds_of(tmp_path / "whole")["reward_top10"].to_list()
    target = best[2]
    first = next(i for i, value in enumerate(best) if value >= target)
    stopped = run(config(budget={"n_rounds": 8, "target_reward": target}), tmp_path / "target")
    # Rounds under way when the target was reached are finished.
    assert stopped["round"].max() == first + lag
    assert_same_ledger(stopped, whole[whole["round"] <= first + lag])
    flat = [{"type": "descriptor", "name": "n_rings", "desirability": UP | {"one_at": 99999}}]
    idle = config(*flat, budget={"patience": 3}, learning__enabled=False)
    ended, _ = execute(idle, new_run_folder(idle, tmp_path / "idle"), nothing)
    assert ended == "3 rounds without gain"
    gains = rounds_of(tmp_path / "idle")["reward_top10"].diff().iloc[: -lag or None]
    assert (gains.iloc[-3:] == 0).all()


def test_scores_of_an_earlier_run_are_taken_over_and_change_nothing_else(
    prior_file: Path, tmp_path: Path
) -> None:
    counted = {"type": "python", "name": "counted", "desirability": UP,
               "function": "tests.campaign.scorers:carbon_share"}  # fmt: skip
    first = run(tiny(prior_file, counted), tmp_path / "first")
    reusing = tiny(prior_file, counted, ledger={"reuse_from": [str(tmp_path / "first")]},
                   budget={"n_rounds": 5})  # fmt: skip
    again = run(reusing, tmp_path / "again")
    assert_same_ledger(again[again["round"] < 4], first)
    scored = again[again["status"] == "scored"]
    reused = scored["worker"].str.startswith("as in ")
    assert (reused == (scored["round"] < 4)).all() and not reused.all()


def test_a_folder_of_second_opinions_that_is_not_there_is_told_before_the_run(
    prior_file: Path, tmp_path: Path
) -> None:
    missing = tiny(prior_file, report={"second_opinions": str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=r"report\.second_opinions: .*none does not exist"):
        check_campaign(missing)


def test_only_scores_of_the_same_objective_are_taken_over(prior_file: Path, tmp_path: Path) -> None:
    run(tiny(prior_file, budget={"n_rounds": 1}), tmp_path / "first")
    there = {"reuse_from": [str(tmp_path / "first")]}
    with pytest.raises(ConfigError, match="another objective"):
        check_campaign(tiny(prior_file, CHEAP[0], ledger=there))
    with pytest.raises(ConfigError, match="not a run folder"):
        check_campaign(tiny(prior_file, ledger={"reuse_from": [str(tmp_path / "none")]}))


def test_a_pareto_campaign_ranks_by_front_and_its_hypervolume_never_falls(
    prior_file: Path, tmp_path: Path
) -> None:
    config = tiny(prior_file, search__pareto=True)
    folder = new_run_folder(config, tmp_path / "run")
    _, files = execute(config, folder, nothing)
    candidates = pd.read_csv(files.candidates_csv)
    assert candidates["pareto_front"].is_monotonic_increasing
    assert candidates["pareto_front"].iloc[0] == 1
    volume = rounds_of(folder.path)["hypervolume"]
    assert volume.is_monotonic_increasing and 0 < volume.iloc[-1] < 1


def test_an_unscored_molecule_keeps_its_row_and_says_why(prior_file: Path, tmp_path: Path) -> None:
    moody = {
        "type": "python",
        "name": "moody",
        "function": "tests.campaign.scorers:carbon_share_without_sulphur",
        "desirability": UP,
    }
    table = run(tiny(prior_file, CHEAP[0], moody), tmp_path / "run")
    unscored = table[table["status"] == "unscored"]
    assert 0 < len(unscored) < len(table)
    assert unscored["smiles"].str.lower().str.contains("s").all()
    assert unscored["reward"].isna().all() and unscored["moody"].isna().all()
    assert unscored["reason"].str.startswith("moody: ").all()
    assert unscored["qed"].between(0, 1).all(), "what is known is kept"
    assert rounds_of(tmp_path / "run")["n_unscored"].sum() == len(unscored)


# ------------------------------------------------------------------------------- what stops a run


def test_the_mean_of_the_ten_best_is_of_ten(prior_file: Path, tmp_path: Path) -> None:
    """Where there are fewer, the mean of those there are falls with each that is not the best."""
    config = partial(tiny, prior_file, CHEAP[2], round_size=2, score_shard_size=2,
                     search__surrogate=False)  # fmt: skip
    patient = config(budget={"n_rounds": 12, "patience": 1})
    execute(patient, new_run_folder(patient, tmp_path / "patient"), nothing)
    n_scored = rounds_of(tmp_path / "patient")["n_scored"]
    assert n_scored.sum() >= 10 or n_scored.iloc[-1] == 0
    aiming = config(budget={"n_rounds": 12, "target_reward": 0.3})
    ended, _ = execute(aiming, new_run_folder(aiming, tmp_path / "aiming"), nothing)
    rewards = ledger_of(tmp_path / "aiming")["reward"].dropna()
    assert ended.startswith("target reached: mean of the ten best ")
    assert float(ended.split()[-1]) == pytest.approx(rewards.sum() / 10, abs=1e-3)
    assert 3 <= len(rewards) < 10  # of which each has at most 1


def test_parents_need_not_have_been_scored(prior_file: Path, tmp_path: Path) -> None:
    table = run(tiny(prior_file, budget={"n_rounds": 3}, search__n_explored=0), tmp_path / "run")
    assert {parent for row in table["parents"] for parent in row} - set(table["smiles"])


def test_ctrl_c_leaves_a_run_that_can_be_resumed(prior_file: Path, tmp_path: Path) -> None:
    config = tiny(prior_file, budget={"n_rounds": 2})
    folder = new_run_folder(config, tmp_path / "run")

    def interrupt(number: int, statistics: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config, folder, interrupt)
    assert folder.manifest()["status"] == "interrupted"
    assert set(resume(folder.path)["round"]) == {0, 1}


# ------------------------------------------------------------------------------ what is refused


def test_a_resumed_run_takes_no_budget_below_what_it_has_begun_to_score(
    prior_file: Path, tmp_path: Path
) -> None:
    run(tiny(prior_file, budget={"n_oracle_calls": 10}), tmp_path / "run")
    ledger = Ledger.open(tmp_path / "run" / "ledger.db", create=False)
    ledger.add(1, [NewMolecule("CCO", "key", "CCO", "", "policy", (), "pending")])
    ledger.close()
    with pytest.raises(ConfigError, match=r"10 are less than the 11 calls .* give 11 or more"):
        resume(tmp_path / "run", "budget.n_oracle_calls=10")
    table = resume(tmp_path / "run", "budget.n_oracle_calls=11")
    assert (table["status"] == "scored").sum() == 11


@pytest.fixture(scope="module")
def finished(prior_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one round, with a weights file of its own."""
    folder = tmp_path_factory.mktemp("finished")
    prior = folder / "prior.safetensors"
    prior.write_bytes(prior_file.read_bytes())
    run(tiny(prior, budget={"n_rounds": 1}), folder / "run")
    return folder / "run"


@pytest.mark.parametrize(
    "override",
    [
        "seed=3",
        "round_size=2",
        "name=http://here",
        "generator.temperature=0.5",
        "name=other",
        "nonsense",
    ],
)
def test_a_resumed_run_takes_only_another_budget_or_executor(finished: Path, override: str) -> None:
    message = complaint(molgen("run", "--resume", finished, override))
    assert message == f"{override}: a resumed run takes only budget.… and executor.…"


def test_a_resumed_run_keeps_its_folder_and_seed(finished: Path) -> None:
    for option in (("--out", "elsewhere"), ("--seed", "3")):
        message = complaint(molgen("run", "--resume", finished, *option))
        assert "--resume keeps the run's folder and seed" in message


def test_changed_weights_are_noticed(finished: Path) -> None:
    prior = finished.parent / "prior.safetensors"
    whole = prior.read_bytes()
    prior.write_bytes(whole + b" ")
    try:
        with pytest.raises(ConfigError, match="prior has changed since the run began"):
            open_run_folder(finished, [])
    finally:
        prior.write_bytes(whole)
    open_run_folder(finished, [])


def test_weights_of_every_predictor_are_watched_wherever_it_is_asked(
    prior_file: Path, tmp_path: Path
) -> None:
    """Also those that only a filter asks, and those of the same name in another folder."""
    for folder in ("one", "other"):
        (tmp_path / folder / "mine" / "trees").mkdir(parents=True)
        (tmp_path / folder / "mine" / "trees" / "0.txt").write_text(folder)
    asked = {"type": "predictor", "endpoint": "mine", "folder": str(tmp_path / "one"),
             "desirability": UP}  # fmt: skip
    config = tiny(prior_file, asked)
    known = KnownFilter(type="known", endpoint="mine", folder=str(tmp_path / "other"))
    objective = config.objective.model_copy(update={"filters": [known]})
    before = objective_hashes(config.model_copy(update={"objective": objective}))
    assert list(before) == ["mine/trees/0.txt", f"{tmp_path}/other/mine/trees/0.txt"]
    assert len(set(before.values())) == 2


def test_workers_look_for_the_shipped_predictors_where_they_run(prior_file: Path) -> None:
    """On another machine molgen may lie elsewhere."""
    for pool in pools(tiny(prior_file)):
        assert str(SHIPPED_PREDICTORS).encode() not in pickle.dumps(pool.make_worker)


def test_a_folder_that_holds_something_is_not_overwritten(prior_file: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(tiny(prior_file)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years")
    arguments = ("run", tmp_path / "config.yaml", "--out", tmp_path / "full")
    message = complaint(molgen(*arguments))
    assert "is not empty; choose another folder" in message
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_a_run_in_use_is_left_alone(finished: Path) -> None:
    before = {f: (finished / f).read_bytes() for f in ("config.yaml", "manifest.json", "ledger.db")}
    with FileLock(finished / ".lock"):
        outcome = molgen("run", "--resume", finished, "budget.n_rounds=9")
    assert outcome.code == 2
    assert "error: " in outcome.err and "another process is running this campaign" in outcome.err
    for file, content in before.items():
        assert (finished / file).read_bytes() == content


def copied(finished: Path, to: Path) -> Path:
    """A copy of a run, to be damaged."""
    return Path(shutil.copytree(finished, to, ignore=shutil.ignore_patterns(".lock")))


def test_a_run_is_not_gone_on_with_where_its_ledger_is_gone(finished: Path, tmp_path: Path) -> None:
    run_dir = copied(finished, tmp_path / "run")
    for checkpoints in (True, False):
        for file in run_dir.glob("ledger.db*"):
            file.unlink()
        if not checkpoints:
            shutil.rmtree(run_dir / "checkpoints")
        folder, config = open_run_folder(run_dir, ["budget.n_rounds=2"])
        with pytest.raises(DataError, match=r"ledger\.db: no ledger there; restore it"):
            execute(config, folder, nothing)
        assert not folder.ledger_file.exists()
    # Of an older run only the checkpoint tells that it had one.
    run_dir = copied(finished, tmp_path / "older")
    folder, config = open_run_folder(run_dir, [])
    folder.manifest_file.write_text(folder.manifest_file.read_text().replace("ledger_made", "x"))
    for file in run_dir.glob("ledger.db*"):
        file.unlink()
    Ledger.open(folder.ledger_file, create=True).close()
    with pytest.raises(DataError, match="lacks round 0 of the run, which its checkpoint has"):
        execute(config, folder, nothing)


@pytest.mark.parametrize("missing", ["config.yaml", "manifest.json"])
def test_another_folder_is_no_run(finished: Path, tmp_path: Path, missing: str) -> None:
    for file in {"config.yaml", "manifest.json"} - {missing}:
        (tmp_path / file).write_bytes((finished / file).read_bytes())
    message = complaint(molgen("run", "--resume", tmp_path))
    assert "not a run folder (no config.yaml and manifest.json)" in message


def test_a_broken_manifest_or_ledger_is_named(finished: Path, tmp_path: Path) -> None:
    for file in ("config.yaml", "manifest.json"):
        (tmp_path / file).write_bytes((finished / file).read_bytes())
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to be read as one" * 9)
    folder, config = open_run_folder(tmp_path, [])
    with pytest.raises(DataError, match=r"ledger\.db"):
        execute(config, folder, nothing)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"manifest\.json: missing or broken"):
        open_run_folder(tmp_path, [])
