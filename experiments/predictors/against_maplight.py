"""The shipped predictors beside published numbers on the same official test splits.

    .venv/bin/python -m experiments.predictors.against_maplight

Trains nothing: reads the model cards. Our number is the card's: one model trained on the official
training rows, evaluated once on the official test, with the test's own 95 % bootstrap interval
(the shipped weights are then refitted on all rows). Published: MapLight on the TDC ADMET tasks
(CatBoost on fingerprints and descriptors, mean of five seeds, https://arxiv.org/abs/2310.00174)
and the support vector machine on ECFP for factor Xa (MoleculeACE's CHEMBL244_Ki,
https://doi.org/10.1021/acs.jcim.2c01073). herg_block and plasma_binding_human have no
official split. The second table is the cards' scaffold-split cross-validation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from experiments.recording import print_table, with_interval, write_results
from molgen.objectives import SHIPPED_PREDICTORS

# endpoint -> (benchmark, metric, whether lower is better, published value, by whom)
PUBLISHED: dict[str, tuple[str, str, bool, float, str]] = {
    "caco2": ("TDC caco2_wang", "mae", True, 0.276, "MapLight"),
    "solubility": ("TDC solubility_aqsoldb", "mae", True, 0.792, "MapLight"),
    "ld50": ("TDC ld50_zhu", "mae", True, 0.621, "MapLight"),
    "ames": ("TDC ames", "auroc", False, 0.868, "MapLight"),
    "dili": ("TDC dili", "auroc", False, 0.887, "MapLight"),
    "lipophilicity": ("TDC lipophilicity_astrazeneca", "mae", True, 0.539, "MapLight"),
    "hia": ("TDC hia_hou", "auroc", False, 0.986, "MapLight"),
    "pgp_inhibition": ("TDC pgp_broccatelli", "auroc", False, 0.930, "MapLight"),
    "bbb": ("TDC bbb_martins", "auroc", False, 0.916, "MapLight"),
    "vdss": ("TDC vdss_lombardo", "spearman", False, 0.707, "MapLight"),
    "half_life": ("TDC half_life_obach", "spearman", False, 0.562, "MapLight"),
    "clearance_hepatocyte": ("TDC clearance_hepatocyte_az", "spearman", False, 0.466, "MapLight"),
    "clearance_microsome": ("TDC clearance_microsome_az", "spearman", False, 0.626, "MapLight"),
    "cyp2c9_inhibition": ("TDC cyp2c9_veith", "auprc", False, 0.783, "MapLight"),
    "cyp2d6_inhibition": ("TDC cyp2d6_veith", "auprc", False, 0.723, "MapLight"),
    "cyp3a4_inhibition": ("TDC cyp3a4_veith", "auprc", False, 0.881, "MapLight"),
    "fxa_pki": ("MoleculeACE CHEMBL244_Ki", "rmse", True, 0.715, "SVM on ECFP"),
}


def official(cards: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per predictor that has a published number beside it."""
    rows = []
    for endpoint, (benchmark, metric, lower_wins, published, by) in PUBLISHED.items():
        ours = cards[endpoint]["official_test"]
        if not ours or ours["metric"] != metric:
            raise SystemExit(
                f"{endpoint}: its card has no official test by {metric}; train it with "
                "official_test: true"
            )
        better = ours["value"] < published if lower_wins else ours["value"] > published
        rows.append(
            {
                "endpoint": endpoint,
                "benchmark": benchmark,
                "metric": f"{metric}, {'lower' if lower_wins else 'higher'}",
                "n_test": ours["n_test"],
                "ours": ours["value"],
                "interval_95": ours["interval_95"],
                "published": published,
                "by": by,
                "ours_is": "better" if better else "not better",
            }
        )
    return rows


def cross_validated(cards: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per predictor: out-of-fold metrics on scaffold folds, intervals, domain."""
    rows = []
    for endpoint, card in sorted(cards.items()):
        found = card["metrics"]
        regression = card["task"] == "regression"
        first, second = ("rmse", "spearman") if regression else ("auroc", "ece")
        rows.append(
            {
                "endpoint": endpoint,
                "n": card["data"]["n_used"],
                "metric": first,
                "value": found[first],
                "interval_95": found["intervals_95"][first],
                "second_metric": second,
                "second_value": found[second],
                "coverage_of_90": found.get("coverage", float("nan")),
                "mean_width": found["mean_width"],
                "share_in_domain": found["share_in_domain"],
                "in_domain": found["in_domain"][first],
                "outside_domain": found["outside_domain"][first],
            }
        )
    return rows


def show(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print both tables."""
    columns = ("endpoint", "benchmark", "metric", "n_test")
    print_table(
        [*columns, "ours (95 % interval)", "published", "by", "ours is"],
        [
            [*(r[c] for c in columns), with_interval(r["ours"], r["interval_95"]), r["published"],
             r["by"], r["ours_is"]]
            for r in results["official_test"]
        ],
    )  # fmt: skip
    print()
    after = ("coverage_of_90", "mean_width", "share_in_domain", "in_domain", "outside_domain")
    print_table(
        ["scaffold folds", "n", "metric (95 % interval)", "second metric", *after],
        [
            [r["endpoint"], r["n"], f"{r['metric']} {with_interval(r['value'], r['interval_95'])}",
             f"{r['second_metric']} {r['second_value']:.4g}", *(r[c] for c in after)]
            for r in results["scaffold_folds"]
        ],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--predictors", type=Path, default=SHIPPED_PREDICTORS, help="their folder")
    parser.add_argument("--out", type=Path, help="default: results.json beside this script")
    arguments = parser.parse_args()
    cards = {
        path.parent.name: json.loads(path.read_text())
        for path in sorted(arguments.predictors.glob("*/card.json"))
    }
    missing = sorted(PUBLISHED.keys() - cards.keys())
    if missing:
        raise SystemExit(f"no card of {', '.join(missing)} in {arguments.predictors}")
    results = {"official_test": official(cards), "scaffold_folds": cross_validated(cards)}
    show(results)
    write_results(__file__, results, seed=None, out=arguments.out)


if __name__ == "__main__":
    main()
