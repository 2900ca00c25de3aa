"""The table reads committed curves; the runner knows what is left to do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments.pmo import run, table
from experiments.pmo.counting import Call
from experiments.pmo.curve import curve_of
from experiments.pmo.published import AUC_TOP10, METHODS
from molgen.config.loading import load_config


def put_curve(folder: Path, method: str, task: str, seed: int, *, budget: int, top: float) -> None:
    calls = [Call("C" * n, top * n / 12, 0.001) for n in range(1, 13)]
    record = {"method": method, "task": task, "seed": seed, "wall_s": 60.0}
    path = folder / method / f"{task}_{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | curve_of(calls, budget=budget)))


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    for seed, top in ((1, 0.5), (0, 0.7)):
        put_curve(tmp_path, "engine", "qed", seed, budget=10_000, top=top)
    put_curve(tmp_path, "engine", "median1", 0, budget=10_000, top=0.9)
    put_curve(tmp_path, "engine", "gsk3b_ours", 0, budget=10_000, top=0.9)
    put_curve(tmp_path, "peer", "qed", 0, budget=10_000, top=0.4)
    put_curve(tmp_path, "peer", "median2", 0, budget=1_500, top=0.4)
    return tmp_path


def cells(text: str, first: str) -> list[str]:
    """A row of a printed table."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {first} ")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_curves_of_one_budget_are_read_in_the_order_of_their_seeds(curves: Path) -> None:
    runs = table.read_curves(curves, 10_000)
    assert list(runs) == ["engine", "peer"]
    assert [c["seed"] for c in runs["engine"]["qed"]] == [0, 1]
    assert list(table.read_curves(curves, 1_500)) == ["peer"]
    assert list(table.read_curves(curves, 10_000, ["peer"])) == ["peer"]
    everything = table.read_curves(curves, None)
    assert sorted(everything["peer"]) == ["median2", "qed"]


def test_ours_stand_beside_the_published_ones(
    curves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = table.read_curves(curves, 10_000)
    table.show_areas(runs, 10_000)
    text = capsys.readouterr().out
    means = [table.mean_of(runs[m]["qed"], table.auc_top10) for m in ("engine", "peer")]
    row = cells(text, "qed")
    assert row[1].startswith(f"{means[0]:.3f} ±") and row[1].endswith("(2)")
    assert row[2] == f"{means[1]:.3f} (1)"
    assert [float(cell) for cell in row[3:]] == pytest.approx(AUC_TOP10["qed"])
    assert cells(text, "median1")[2] == "-"
    assert cells(text, "gsk3b_ours")[3:] == ["-"] * len(METHODS)
    # the only task that both have run
    assert [float(cell) for cell in cells(text, "**sum of 1**")[1:4]] == pytest.approx(
        [*means, AUC_TOP10["qed"][0]], abs=1e-3
    )
    assert "engine: above the best known on 1 of 2 tasks" in text


def test_published_areas_do_not_stand_beside_a_smaller_budget(
    curves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.show_areas(table.read_curves(curves, 1_500), 1_500)
    text = capsys.readouterr().out
    assert "Mol GA" not in text
    assert len(cells(text, "median2")) == 2


def test_a_run_that_ended_early_is_held_flat_to_the_published_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, budget in (("short", 1_500), ("whole", 10_000)):
        put_curve(tmp_path / folder, "engine", "qed", 0, budget=budget, top=0.5)
    short = table.read_curves(tmp_path / "short", 1_500)
    (whole,) = table.read_curves(tmp_path / "whole", 10_000)["engine"]["qed"]
    held = table.held_flat_auc_top10(short["engine"]["qed"][0])
    assert held == pytest.approx(table.auc_top10(whole))
    table.show_areas(short, 10_000, table.held_flat_auc_top10)
    assert cells(capsys.readouterr().out, "qed")[1] == f"{held:.3f} (1)"


def shown(curves: Path, capsys: pytest.CaptureFixture[str], method: str) -> str:
    runs = table.read_curves(curves, 10_000, [method])
    table.show_runs(runs, table.read_curves(curves, None, [table.PEER])[table.PEER])
    return capsys.readouterr().out


def test_the_first_thousand_calls_are_compared_with_the_peer(
    curves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(curves, capsys, "engine")
    # qed: .5 and .7 against .4; of median1 the peer has no run
    assert "of 1 tasks" in text and "+50%" in text
    ours, theirs = (float(cells(text, "qed")[i]) for i in (4, 5))
    assert ours / theirs == pytest.approx(1.5, abs=0.01)
    assert cells(text, "median1")[5] == "-"
    assert "+" not in shown(curves, capsys, "peer")


def test_quality_is_shown_with_and_without_the_filter(
    curves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = cells(shown(curves, capsys, "peer"), "qed")
    assert row[1] == row[2]  # chains of carbon are dull but believable
    assert row[6:9] == ["1", f"{0.4 * np.mean(np.arange(3, 13)) / 12:.3f}", "12"]
    assert float(row[-1]) == pytest.approx(60 / 60, abs=0.05)


def test_sums_are_over_the_published_tasks_alone(
    curves: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(curves, capsys, "engine")
    areas = [float(cells(text, task)[1]) for task in ("qed", "median1")]
    assert float(cells(text, "**sum, 2**")[1]) == pytest.approx(sum(areas), abs=0.01)


def test_the_published_sums_are_those_of_the_literature() -> None:
    sums = np.array(list(AUC_TOP10.values())).sum(axis=0)
    assert len(AUC_TOP10) == 20
    # each row is rounded, the sums in the literature are not
    assert sums == pytest.approx([13.914, 13.594, 12.227, 11.603, 14.149], abs=0.015)


def job(folder: Path, method: str) -> run.Job:
    return run.Job(
        method, "qed", 3, 200, folder / "work", folder / "curves", run.CONFIG, ("round_size=20",)
    )


def test_a_campaign_counts_outside_the_engine_and_is_resumed_where_it_exists(
    tmp_path: Path,
) -> None:
    one = job(tmp_path, "molgen_trial")
    started = one.command()
    assert "budget.n_oracle_calls=200" in started and "round_size=20" in started
    (scorer,) = [a for a in started if a.startswith("objective.components.0.command=")]
    config = load_config(run.CONFIG, [scorer])
    assert config.objective.components[0].command[:3] == [
        "{python}",
        "-m",
        "experiments.pmo.scorer",
    ]
    assert str(tmp_path / "work" / "calls.csv") in scorer
    (tmp_path / "work" / "run").mkdir(parents=True)
    (tmp_path / "work" / "run" / "manifest.json").write_text("{}")
    resumed = ["run", "--resume", str(tmp_path / "work" / "run"), "budget.n_oracle_calls=200"]
    assert one.command()[3:] == resumed


def test_a_run_is_done_when_its_curve_covers_the_calls(tmp_path: Path) -> None:
    one = job(tmp_path, "peer")
    assert not one.is_done
    one.curve.parent.mkdir(parents=True)
    one.curve.write_text('{"budget": 200}')
    assert one.is_done
    assert not dataclasses.replace(one, n_calls=201).is_done


def test_the_peer_is_asked_by_its_own_command(tmp_path: Path) -> None:
    command = job(tmp_path, "peer").command()
    assert command[2:] == [
        "experiments.pmo.peer", "--task", "qed", "--log", str(tmp_path / "work" / "calls.csv"),
        "--seed", "3", "--n-calls", "200",
    ]  # fmt: skip
