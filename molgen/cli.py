"""The command line. Each command imports what it needs, so `--help` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="molgen",
    help="Design drug molecules: generate, score, learn; every run can be repeated and resumed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Training and test data.", no_args_is_help=True)
config_app = typer.Typer(help="Check and show config files.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value …]", help="config values to replace, as dotted.key=value"),
]


def main() -> None:
    """Run the command line; a user's fault ends in one line, a bug in its traceback.

    Typer itself sees to Ctrl-C (exit code 130) and to a reader of our output that has gone.
    """
    import logging

    from molgen.errors import MolgenError
    from property_models.errors import PropertyModelError

    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app(standalone_mode=True)
    except (MolgenError, PropertyModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 2))


@app.command()
def run(
    # Text, not a path: behind --resume DIR it is an override, perhaps with `//` in it.
    config: Annotated[str | None, typer.Argument(help="campaign config (YAML)")] = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="run folder; default runs/<name>, or the next free <name>-2")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="replaces the config's seed")] = None,
    resume: Annotated[Path | None, typer.Option(help="run folder to go on with")] = None,
) -> None:
    """Run a design campaign, or go on with one: --resume DIR [budget.… executor.…]."""
    from molgen.campaign.running import check_start, resume_run, start_run
    from molgen.errors import ConfigError
    from molgen.training.on_demand import train_missing

    extra = list(overrides or [])
    if resume is not None:
        if config is not None:  # the first word after --resume DIR is an override, too
            extra.insert(0, config)
        if out is not None or seed is not None:
            raise ConfigError(
                "--resume keeps the run's folder and seed; leave out --out and --seed"
            )
        resume_run(resume, extra)
        return
    if config is None:
        raise ConfigError("give a campaign config, for example configs/factor_xa.yaml, or --resume")
    if seed is not None:
        extra.append(f"seed={seed}")
    train_missing(Path(config), extra, check=lambda ready: check_start(ready, out))
    start_run(Path(config), extra, out)


@app.command()
def sample(
    output: Annotated[Path, typer.Option("-o", "--output", help="file of SMILES, one a line")],
    n: Annotated[int, typer.Option("-n", min=1, help="molecules, for all prompts together")] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="part to keep, attachment points as [*:1]; repeat for several"),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="write the prompts from the molecules given by --prompt: decorate, replace, "
            "grow, link, merge, superstructure, morph or regrow"
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="what the mode redraws: SMARTS or atom positions (replace, morph), or the number "
            "of atoms (regrow)"
        ),
    ] = None,
    variants: Annotated[
        int | None,
        typer.Option(min=1, help="prompts that a mode writes at most for a molecule; default: 10"),
    ] = None,
    per_prompt: Annotated[
        bool, typer.Option("--per-prompt", help="draw -n molecules for each prompt")
    ] = False,
    prior: Annotated[Path | None, typer.Option(help="weights; default: the shipped prior")] = None,
    temperature: Annotated[
        float, typer.Option(min=0.01, max=2.0, help="below 1: more of the likely")
    ] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="choose among the likeliest that reach this share"),
    ] = 1.0,
    min_heavy_atoms: Annotated[
        int | None,
        typer.Option(min=1, help="no smaller molecules, unless nothing more fits; default: 4"),
    ] = None,
    max_heavy_atoms: Annotated[
        int | None,
        typer.Option(min=2, help="no larger molecules; default: 45, or what the prior can build"),
    ] = None,
    elements: Annotated[
        str, typer.Option(help="that may be added, for example C,N,O,F; default: all")
    ] = "",
    forbid: Annotated[
        list[str] | None, typer.Option(help="SMARTS that no molecule matches; repeat for several")
    ] = None,
    forbid_file: Annotated[Path | None, typer.Option(help="such SMARTS, one a line")] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="molecules started at most for each one asked for")
    ] = 100,
    unique: Annotated[bool, typer.Option("--unique", help="write each molecule once")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="default: one for each core; changes no line")
    ] = None,
) -> None:
    """Draw molecules from the prior, de novo or around what is to be kept."""
    import os

    from molgen.errors import ConfigError
    from molgen.generator.design_modes import prompts_for
    from molgen.generator.forbidden import read_smarts_file
    from molgen.generator.sampler import SamplingOptions
    from molgen.generator.sampling_file import default_max_atoms, write_samples

    forbidden = [*(forbid or []), *(read_smarts_file(forbid_file) if forbid_file else [])]
    symbols = [symbol.strip() for symbol in elements.split(",") if symbol.strip()]
    prompts = prompt or []
    if mode is not None:
        prompts = prompts_for(mode, prompts, part=part, n=variants or 10, seed=seed)
        if not prompts and mode != "de_novo":  # without prompts anything would be drawn
            raise ConfigError(f"--mode {mode}: finds nothing to redraw in what --prompt gives")
    elif part is not None:
        raise ConfigError("--part says what a mode redraws; name the mode, too: --mode")
    elif variants is not None:
        raise ConfigError("--variants says how many prompts a mode writes; name the mode: --mode")
    n_asked = n * max(1, len(prompts)) if per_prompt else n
    written = write_samples(
        output, n_asked, seed=seed, prompts=prompts,
        prior=prior, unique=unique, n_processes=processes or len(os.sched_getaffinity(0)),
        options=SamplingOptions(
            temperature, min_heavy_atoms, max_heavy_atoms or default_max_atoms(prior), top_p,
            tuple(symbols), tuple(forbidden), max_attempts,
        ),
    )  # fmt: skip
    few = f", of {n_asked} asked for; whatever else was drawn was there before"
    print(f"{written.n_lines} molecules in {output}" + few * (written.n_lines < n_asked))
    if not per_prompt and n < len(prompts):
        print(f"of {n} of the {len(prompts)} prompts, one each; --per-prompt: -n of each")
    if forbidden or symbols:
        print(f"{written.n_attempts} started, {written.n_rejected.total()} rejected")
        for reason, n_rejected in written.n_rejected.most_common():
            print(f"{n_rejected:8d} {reason}")


@app.command()
def predict(
    table: Annotated[str, typer.Argument(help=".smi .csv .tsv .sdf .parquet, or - for SMILES")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".csv or .parquet")],
    endpoints: Annotated[
        list[str] | None, typer.Option(help="default: all there are; repeat for several")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="folder of predictors; default: the shipped ones")
    ] = None,
    smiles_column: Annotated[str, typer.Option(help="of a table")] = "smiles",
    processes: Annotated[
        int | None, typer.Option(min=1, help="default: one for each core; changes no value")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(help="predict on Ray: local, or an address as ray://head:10001")
    ] = None,
) -> None:
    """Predict properties with intervals and domain for a file of structures."""
    from molgen.objectives.prediction_file import predict_file

    n_rows, n_failed = predict_file(
        table, output, endpoints=endpoints or [], folder=folder, smiles_column=smiles_column,
        n_processes=processes, ray=ray,
    )  # fmt: skip
    print(f"{n_rows} rows in {output}" + (f"; {n_failed} without a prediction" if n_failed else ""))


@app.command()
def explain(
    table: Annotated[str, typer.Argument(help=".smi .csv .tsv .sdf .parquet, or - for SMILES")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".html, one file")],
    endpoints: Annotated[
        list[str] | None, typer.Option(help="default: all there are; repeat for several")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="folder of predictors; default: the shipped ones")
    ] = None,
    smiles_column: Annotated[str, typer.Option(help="of a table")] = "smiles",
    n: Annotated[int, typer.Option("-n", min=1, help="explain the first so many rows")] = 10,
    background: Annotated[
        Path | None,
        typer.Option(help="structures like yours, 50 or more: fits the atoms' colours to them"),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="table of SMILES and value: take replacements from its matched pairs"),
    ] = None,
    value_column: Annotated[str | None, typer.Option(help="of --measured; default: value")] = None,
    unit: Annotated[str, typer.Option(help="of --measured, for example nM")] = "",
    negative_log: Annotated[
        bool, typer.Option("--negative-log", help="turn --measured into -log10(mol/L)")
    ] = False,
) -> None:
    """Show which atoms and fragments predictions come from, and what would change them."""
    from molgen.errors import ConfigError
    from molgen.explaining import explain_file

    if measured is None and (value_column is not None or unit or negative_log):
        raise ConfigError(
            "--value-column, --unit and --negative-log are of --measured; name the table, too"
        )
    n_shown, n_hidden = explain_file(
        table, output, endpoints=endpoints or [], folder=folder, smiles_column=smiles_column,
        n_max=n, background=background, measured=measured, value_column=value_column or "value",
        unit=unit, negative_log=negative_log,
    )  # fmt: skip
    print(f"{n_shown} explanations in {output}" + (f"; {n_hidden} not shown" if n_hidden else ""))


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="run folder")]) -> None:
    """Write candidates.csv, candidates.sdf and report.html of a run again."""
    from molgen.report import write_report

    files = write_report(run_dir)
    print(f"{files.n_candidates} candidates: {files.report_html}")


@app.command()
def pretrain(
    config: Annotated[Path, typer.Argument(help="pretraining config (YAML)")],
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="default runs/<name>; resumes there")] = None,
    pack_only: Annotated[
        bool, typer.Option("--pack-only", help="write packed.npz, to train on another machine")
    ] = False,
) -> None:
    """Train a generator, or fine-tune one; run again to go on where it stopped."""
    from molgen.training.running import pack_for_pretraining, run_pretraining

    if pack_only:
        pack_for_pretraining(config, overrides or [], out)
    else:
        run_pretraining(config, overrides or [], out)


@app.command("train-predictor")
def train_predictor(
    config: Annotated[Path, typer.Argument(help="predictor config (YAML)")],
    overrides: Overrides = None,
    out: Annotated[Path, typer.Option(help="folder of predictors")] = Path("runs/predictors"),
    tune: Annotated[
        int, typer.Option(min=1, help="try so many settings of the members first, on Ray")
    ] = 1,
) -> None:
    """Train, calibrate and evaluate a property predictor."""
    from molgen.training.running import run_predictor_training

    run_predictor_training(config, overrides or [], out, n_settings=tune)


@data_app.command("list")
def data_list() -> None:
    """The tables of the catalogue with their terms, and whether they are at hand."""
    from molgen.doctor import data_lines

    print("\n".join(data_lines()))


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="a data set, endpoint or table of `data list`")],
    force: Annotated[bool, typer.Option("--force", help="download again")] = False,
) -> None:
    """Download a table from its public home, after telling its terms; goes on after a break."""
    from molgen.doctor import fetch_data

    print(fetch_data(name, force=force))


@data_app.command("report")
def data_report(
    table: Annotated[str, typer.Argument(help="a data set, an endpoint, a .csv or a .parquet")],
    output: Annotated[Path, typer.Option("-o", "--output", help=".html")],
    smiles_column: Annotated[str, typer.Option(help="of your own table")] = "smiles",
    value_column: Annotated[str, typer.Option(help="of your own table")] = "value",
    unit: Annotated[str, typer.Option(help="of your values, for example nM")] = "",
    negative_log: Annotated[
        bool, typer.Option("--negative-log", help="turn concentrations into -log10(mol/L)")
    ] = False,
    year_column: Annotated[str, typer.Option(help="of your own table, if it has years")] = "",
    assay_column: Annotated[str, typer.Option(help="of your own table, if it has assays")] = "",
    unit_column: Annotated[str, typer.Option(help="of your own table, if rows differ")] = "",
    relation_column: Annotated[str, typer.Option(help="of your own table, of signs")] = "",
    conflict_limit: Annotated[
        float | None,
        typer.Option(
            help="exact values that span more conflict; as in training: 1 log unit", min=0
        ),
    ] = None,
) -> None:
    """Report on a table: coverage, balance, duplicates, conflicts, who is under-represented."""
    from property_models.data_report import report_on, report_on_dataset, write_html
    from property_models.datasets import CleaningRules, read_file
    from property_models.datasets import conflict_limit as usual_limit

    if Path(table).suffix.lower() in (".csv", ".parquet"):
        transform: Literal["neg_log10_molar", "none"] = (
            "neg_log10_molar" if negative_log else "none"
        )
        limit = usual_limit(transform) if conflict_limit is None else conflict_limit
        rows = read_file(
            Path(table), smiles_column=smiles_column, value_column=value_column, unit=unit,
            unit_column=unit_column, relation_column=relation_column, transform=transform,
            year_column=year_column, assay_column=assay_column, rules=CleaningRules(limit),
        )  # fmt: skip
        unit = "-log10(mol/L)" if negative_log else unit
        found = report_on(rows, title=Path(table).name, unit=unit)
    else:
        found = report_on_dataset(table)
    write_html(found, output)
    few = [str(kind) for kind, few in found.kinds["few"].items() if few]
    print(f"{len(found.compounds)} compounds in {output}; few or none of: {', '.join(few)}")


@config_app.command("validate")
def config_validate(
    config: Annotated[Path, typer.Argument(help="config file (YAML)")], overrides: Overrides = None
) -> None:
    """Check a config of any kind; of a campaign, all that it names, of a training, its data."""
    from molgen.config.campaign import RunConfig
    from molgen.config.kinds import load_any

    loaded = load_any(config, overrides or [])
    missing = ""
    if isinstance(loaded, RunConfig):
        from molgen.campaign.wiring import check_campaign
        from molgen.training.on_demand import without_untrained

        check_campaign(without_untrained(loaded))
    else:
        from molgen.training.running import missing_data

        missing = missing_data(loaded)
    print(f"{config}: fine" + (f", but its data is not at hand: {missing}" if missing else ""))


@config_app.command("show")
def config_show(
    config: Annotated[Path, typer.Argument(help="config file (YAML)")], overrides: Overrides = None
) -> None:
    """Print a config with every default filled in."""
    from molgen.config.kinds import load_any
    from molgen.config.loading import dump_config

    print(dump_config(load_any(config, overrides or [])), end="")


@config_app.command("schema")
def config_schema(
    kind: Annotated[str, typer.Argument(help="campaign, pretraining or predictor")] = "campaign",
) -> None:
    """Print the JSON Schema of a kind of config, for editors."""
    import json

    from molgen.config.kinds import schema

    print(json.dumps(schema(kind), indent=1))


@app.command()
def doctor() -> None:
    """Tell what is installed, which devices, data and weights there are, and what is missing."""
    from molgen.doctor import doctor_lines

    print("\n".join(doctor_lines()))


if __name__ == "__main__":
    main()
