"""The peer: a SMILES recurrent network of REINVENT's shape, trained and sampled on one core.

    .venv/bin/python -m experiments.distribution.smiles_rnn grid  --out runs/peer
    .venv/bin/python -m experiments.distribution.smiles_rnn train --out runs/peer --best-of-grid
    .venv/bin/python -m experiments.distribution.smiles_rnn sample runs/peer/long/at_03600 \
        -n 10000 -o peer.smi

Embedding 256, three layers of 512, one output layer (Olivecrona et al. 2017,
https://doi.org/10.1186/s13321-017-0235-x, with GRU cells, 4.4 M weights; REINVENT 4 has LSTM cells
of the same size, 5.8 M, https://doi.org/10.1186/s13321-024-00812-5). The peer has the cells that
are faster on the processor: GRU where it has instructions for bfloat16 (219 to 247 molecules a
second on one core, LSTM 164 to 190), else LSTM (batch 64: 37, GRU 29).

*Same rows*: file, row query, size limit and rarity rule are read from the generator's config;
canonical SMILES as they stand in the file. *Batches*: molecules are shuffled each epoch and
bucketed by length in pools of 100 batches. *Loss*: summed over a batch, divided by batch size, so
that a token weighs the same wherever the bucket puts it. *Schedule*: Adam, norm clipped at 50,
100 steps of warm-up, a constant rate, and in the last 60 % of the budget a linear fall to zero, as
in the graph model's training.

*Budget*: CPU seconds of this process with one thread (`time.process_time`), which other work on
the machine changes little. Forming batches and steps count; reading data, validation, checkpoints
and sampling do not. Each point of the curve (10, 30, 60, 120 minutes) is the end of a complete run
of that budget: the constant-rate part is shared, and at 40 % of each point's budget a branch with
its own falling rate leaves it. No point is thus judged at a high learning rate, and the run can be
made longer later without harm to what was measured.

Checkpoints every two minutes, replaced atomically, hold weights, optimiser, step and seconds; the
same command goes on where it was killed. Batches are a function of seed and step.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiments.distribution.smiles_strings import END, Data, batches, read_data
from experiments.recording import print_table, write_results
from molgen.generator.network import autocast, has_bfloat16
from molgen.runtime.checkpoint import load_checkpoint, save_checkpoint

ROOT = Path(__file__).parents[2]
MAX_LENGTH = 200  # the longest training molecule has 108 tokens
GRID = ((64, 1e-3), (64, 2e-3), (256, 1e-3), (256, 2e-3))
POINTS_S = (600.0, 1800.0, 3600.0, 7200.0)
DECAY_SHARE = 0.6
WARMUP_STEPS = 100
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY_S = 60.0


CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
FASTER_CELL = "gru" if has_bfloat16("cpu") else "lstm"


class SmilesRNN(nn.Module):
    """Embedding, three recurrent layers and the logits of the next token."""

    def __init__(self, vocabulary: Sequence[str], cell: str) -> None:
        super().__init__()
        self.vocabulary, self.cell = list(vocabulary), cell
        self.embed = nn.Embedding(len(vocabulary), 256)
        self.layers = CELLS[cell](256, 512, num_layers=3)
        self.logits = nn.Linear(512, len(vocabulary))

    def forward(self, tokens_TB: Tensor) -> Tensor:
        """Log-probabilities (T, B, V) of the tokens after each of `tokens_TB`."""
        with autocast(None):
            logits = self.logits(self.layers(self.embed(tokens_TB))[0])
        return logits.float().log_softmax(-1)

    def nats(self, tokens_TB: Tensor) -> Tensor:
        """Negative log-likelihood of each string, shape (B,)."""
        logp = self(tokens_TB[:-1])
        picked = logp.gather(-1, tokens_TB[1:, :, None])[..., 0]
        # What follows an END is padding; the first END is the start and is never a target.
        real = (tokens_TB[:-1] != END) | (torch.arange(len(tokens_TB) - 1) == 0)[:, None]
        return -(picked * real).sum(0)


# ---------------------------------------------------------------- training


class Run:
    """One training under way; its folder holds the checkpoint and `curve.jsonl`."""

    def __init__(
        self, data: Data, folder: Path, cell: str, batch_size: int, rate: float, seed: int
    ) -> None:
        self.data, self.folder = data, folder
        self.batch_size, self.rate, self.seed = batch_size, rate, seed
        torch.manual_seed(seed)
        self.model = SmilesRNN(data.vocabulary, cell)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=rate, fused=True)
        self.step, self.seconds, self.nats = 0, 0.0, math.nan

    def restore(self, folder: Path) -> bool:
        """Go on from a folder's checkpoint; False where it has none."""
        found = load_checkpoint(folder)
        if found is None:
            return False
        tensors, state = found
        settings = (self.model.cell, self.batch_size, self.rate)
        if (state["cell"], state["batch_size"], state["rate"]) != settings:
            raise SystemExit(f"{folder} was trained with other cells, batch size or rate")
        weights = {k[6:]: t for k, t in tensors.items() if k.startswith("model.")}
        self.model.load_state_dict(weights)
        adam = self.optimiser.state_dict()
        adam["state"] = {
            i: {key: tensors[f"adam.{i}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i, _ in enumerate(self.model.parameters())
        }
        self.optimiser.load_state_dict(adam)
        self.step, self.seconds, self.nats = state["step"], state["seconds"], state["nats"]
        return True

    def save(self) -> None:
        """Write the checkpoint, over the previous one."""
        tensors = {f"model.{k}": t for k, t in self.model.state_dict().items()}
        for i, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{key}": value for key, value in moments.items()}
        state = {
            "step": self.step, "seconds": self.seconds, "nats": self.nats, "cell": self.model.cell,
            "batch_size": self.batch_size, "rate": self.rate, "vocabulary": self.data.vocabulary,
        }  # fmt: skip
        save_checkpoint(self.folder, tensors=tensors, state=state)

    def train(self, until_s: float, decay_from_s: float = math.inf) -> None:
        """Train until the budget is spent, the rate falling to zero from `decay_from_s` on."""
        if self.seconds >= until_s:
            return
        saved = logged = self.seconds
        clock = time.process_time()
        for tokens_TB in batches(self.data.train, self.batch_size, self.seed, self.step):
            fall = (until_s - self.seconds) / max(until_s - decay_from_s, 1e-9)
            self._update(tokens_TB, self.rate * min(1.0, fall, (self.step + 1) / WARMUP_STEPS))
            self.step += 1
            now = time.process_time()
            self.seconds += now - clock
            ended = self.seconds >= until_s
            due = ended or self.seconds - saved > CHECKPOINT_EVERY_S
            if due or self.seconds - logged > LOG_EVERY_S:
                self._log(validate=due)
                logged = self.seconds
            if due:
                self.save()
                saved = self.seconds
            if ended:
                return
            clock = time.process_time()  # logging and saving are not charged

    def validation_nats(self) -> float:
        """Mean negative log-likelihood of the validation strings, nats a molecule."""
        rows = np.argsort(self.data.valid.lengths(), kind="stable")
        with torch.no_grad():
            parts = [
                self.model.nats(self.data.valid.batch(rows[i : i + 200]))
                for i in range(0, len(rows), 200)
            ]
        return float(torch.cat(parts).mean())

    def _update(self, tokens_TB: Tensor, rate: float) -> None:
        loss = self.model.nats(tokens_TB).mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 50.0)
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        nats = float(loss.detach())
        self.nats = nats if math.isnan(self.nats) else 0.99 * self.nats + 0.01 * nats

    def _log(self, *, validate: bool) -> None:
        line: dict[str, float] = {
            "seconds": round(self.seconds, 1), "n_molecules": self.step * self.batch_size,
            "nats": round(self.nats, 3), "rate": self.optimiser.param_groups[0]["lr"],
        }  # fmt: skip
        if validate:
            line["validation_nats"] = round(self.validation_nats(), 3)
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(self.folder.name, line, flush=True)


def train_to_points(
    data: Data, folder: Path, *, cell: str, batch_size: int, rate: float,
    points_s: Sequence[float], seed: int, n_samples: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """The long run: the constant part in `folder/stable`, each point's branch in `at_<seconds>`.

    Returns:
        One row a point: seconds, molecules seen, validation nats, samples file and its counts.
    """
    rows = []
    for point in sorted(points_s):
        at = folder / f"at_{round(point):05d}"
        at.mkdir(parents=True, exist_ok=True)
        run = Run(data, at, cell, batch_size, rate, seed)
        if not run.restore(at):
            run = _stable(data, folder / "stable", cell, batch_size, rate, seed, point)
            run.folder = at
        run.train(point, decay_from_s=(1 - DECAY_SHARE) * point)
        row: dict[str, Any] = {
            "cpu_seconds": run.seconds, "n_molecules": run.step * batch_size,
            "validation_nats": run.validation_nats(),
        }  # fmt: skip
        if n_samples:
            row |= sample_to_file(at, n_samples, seed=seed, batch_size=512, out=at / "samples.smi")
        (at / "point.json").write_text(json.dumps(row) + "\n")
        rows.append(row)
    return rows


def _stable(
    data: Data, folder: Path, cell: str, batch_size: int, rate: float, seed: int, point_s: float
) -> Run:
    """The constant-rate part, as far as the branch of a point."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(data, folder, cell, batch_size, rate, seed)
    run.restore(folder)
    branch_s = (1 - DECAY_SHARE) * point_s
    if run.seconds > branch_s + CHECKPOINT_EVERY_S:
        raise SystemExit(f"{folder} is past {branch_s:.0f} s: give a new folder for this point")
    run.train(branch_s)
    return run


# ---------------------------------------------------------------- sampling


class Stepper:
    """The network one token at a time, weights cast once and the first layer's input tabled."""

    def __init__(self, model: SmilesRNN, n: int) -> None:
        """For n strings at once, in bfloat16 where the processor has instructions for it."""
        dtype = torch.bfloat16 if has_bfloat16("cpu") else torch.float32
        weights = {k: w.detach().to(dtype) for k, w in model.layers.named_parameters()}
        embedded = model.embed.weight.detach().to(dtype)
        inputs = [(weights[f"weight_ih_l{k}"], weights[f"bias_ih_l{k}"]) for k in range(3)]
        self.first, self.inputs = nn.functional.linear(embedded, *inputs[0]), inputs[1:]
        self.states = [(weights[f"weight_hh_l{k}"], weights[f"bias_hh_l{k}"]) for k in range(3)]
        self.out = (model.logits.weight.detach().to(dtype), model.logits.bias.detach().to(dtype))
        self.next = _next_gru if model.cell == "gru" else _next_lstm
        self.hidden = [torch.zeros(n, 512, dtype=dtype) for _ in range(3)]
        self.memory = [torch.zeros(n, 512, dtype=dtype) for _ in range(3)]  # of an LSTM

    def __call__(self, tokens_B: Tensor) -> Tensor:
        """Logits (B, V) after one token more."""
        below = self.first[tokens_B]
        for k, (weight, bias) in enumerate(self.states):
            gates = nn.functional.linear(self.hidden[k], weight, bias)
            self.hidden[k], self.memory[k] = self.next(below, gates, self.hidden[k], self.memory[k])
            if k < 2:
                below = nn.functional.linear(self.hidden[k], *self.inputs[k])
        return nn.functional.linear(self.hidden[-1], *self.out).float()

    def forget(self, places: NDArray[np.int64]) -> None:
        """New strings begin at these places."""
        for state in self.hidden + self.memory:
            state[places] = 0


def _next_gru(below: Tensor, gates: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    size = h.shape[1]
    reset_update = (below[:, : 2 * size] + gates[:, : 2 * size]).sigmoid_()
    reset, update = reset_update[:, :size], reset_update[:, size:]
    new = torch.addcmul(below[:, 2 * size :], reset, gates[:, 2 * size :]).tanh_()
    return torch.lerp(new, h, update), c


def _next_lstm(below: Tensor, gates: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    into, keep, new, out = (below + gates).chunk(4, dim=1)
    c = keep.sigmoid() * c + into.sigmoid() * new.tanh()
    return out.sigmoid() * c.tanh(), c


def sample(model: SmilesRNN, n: int, *, seed: int, batch_size: int = 512) -> list[str]:
    """Draw exactly n strings, in order of starting; some are not valid SMILES.

    A finished string's place in the batch is taken by the next one at once. Strings longer than
    200 tokens are cut there (and will hardly be valid).
    """
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, n)
    step = Stepper(model, size)
    tokens = torch.full((size,), END)
    written = np.zeros((size, MAX_LENGTH), np.uint8)
    length = np.zeros(size, np.int64)
    number = np.arange(size)  # which string a place is busy with; n and above: idle
    results, n_started, n_done = [""] * n, size, 0
    with torch.no_grad():
        while n_done < n:
            logits = step(tokens)
            noise = torch.empty_like(logits).exponential_(generator=generator)
            tokens = (logits.softmax(-1) / noise).argmax(-1)
            picked = tokens.numpy()
            written[np.arange(size), length] = picked
            length += picked != END
            ended = np.flatnonzero((picked == END) | (length == MAX_LENGTH))
            for place in ended:
                if number[place] < n:
                    text = "".join(model.vocabulary[t] for t in written[place, : length[place]])
                    results[number[place]] = text
                    n_done += 1
                number[place] = n_started
                n_started += 1
            if len(ended):
                length[ended] = 0
                tokens[ended] = END
                step.forget(ended)
    return results


def load_model(folder: Path) -> SmilesRNN:
    """The network of a run's folder."""
    found = load_checkpoint(folder)
    if found is None:
        raise SystemExit(f"{folder} holds no checkpoint")
    model = SmilesRNN(found[1]["vocabulary"], found[1]["cell"])
    weights = {k[6:]: t for k, t in found[0].items() if k.startswith("model.")}
    model.load_state_dict(weights)
    return model


def sample_to_file(
    folder: Path, n: int, *, seed: int, batch_size: int, out: Path
) -> dict[str, Any]:
    """Write n strings, invalid ones included, one a line; speed in strings and valid ones."""
    from rdkit import Chem, rdBase

    model = load_model(folder)
    sample(model, 2 * batch_size, seed=seed + 1, batch_size=batch_size)  # warms up
    clock, began = time.process_time(), time.perf_counter()
    strings = sample(model, n, seed=seed, batch_size=batch_size)
    cpu_s, wall_s = time.process_time() - clock, time.perf_counter() - began
    out.write_text("".join(text + "\n" for text in strings))
    with rdBase.BlockLogs():
        n_valid = sum(bool(text) and Chem.MolFromSmiles(text) is not None for text in strings)
    return {
        "n_samples": n, "n_valid": n_valid, "sampling_cpu_s": cpu_s,
        "valid_per_cpu_s": n_valid / cpu_s, "valid_per_wall_s": n_valid / wall_s,
        "sampling_batch": batch_size,
    }  # fmt: skip


# ---------------------------------------------------------------- commands


def run_grid(data: Data, out: Path, cell: str, seconds: float, seed: int) -> list[dict[str, Any]]:
    """Each setting of the grid for the same CPU seconds; the best first."""
    rows = []
    for batch_size, rate in GRID:
        folder = out / f"grid_{batch_size}_{rate:g}"
        settings: dict[str, Any] = {"cell": cell, "batch_size": batch_size, "rate": rate}
        points = train_to_points(
            data, folder, **settings, points_s=[seconds], seed=seed, n_samples=0
        )
        rows.append(settings | points[0])
    rows.sort(key=lambda row: row["validation_nats"])
    (out / "grid.json").write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("grid", "train"):
        command = commands.add_parser(name)
        command.add_argument("--out", type=Path, required=True, help="folder of the peer's runs")
        command.add_argument("--config", type=Path, default=ROOT / "configs/prior_chembl.yaml")
        command.add_argument("--cell", choices=CELLS, default=FASTER_CELL)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--results", type=Path, help="default: results.json beside this file")
    commands.choices["grid"].add_argument("--seconds", type=float, default=480.0)
    train = commands.choices["train"]
    train.add_argument("--best-of-grid", action="store_true", help="settings from OUT/grid.json")
    train.add_argument("--batch-size", type=int, default=64)
    train.add_argument("--rate", type=float, default=1e-3)
    train.add_argument("--points", type=float, nargs="+", default=POINTS_S, help="CPU seconds")
    train.add_argument("--samples", type=int, default=10_000, help="drawn at each point")
    draw = commands.add_parser("sample")
    draw.add_argument("folder", type=Path, help="of a run, e.g. OUT/long/at_03600")
    draw.add_argument("-n", type=int, default=10_000)
    draw.add_argument("-o", "--out", type=Path, required=True)
    draw.add_argument("--seed", type=int, default=1)
    draw.add_argument("--batch-size", type=int, default=512)
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(1)
    if options.command == "sample":
        row = sample_to_file(
            options.folder, options.n, seed=options.seed, batch_size=options.batch_size,
            out=options.out,
        )  # fmt: skip
        print(json.dumps(row))
        return
    if "MOLGEN_DATA" not in os.environ:
        sys.exit("MOLGEN_DATA must name the data folder")
    data = read_data(options.config)
    n_weights = sum(p.numel() for p in SmilesRNN(data.vocabulary, options.cell).parameters())
    print(f"{len(data.train)} strings, {len(data.vocabulary)} tokens, {n_weights} weights")
    results: dict[str, Any] = {"n_weights": n_weights, "n_training": len(data.train)}
    if options.command == "grid":
        rows = run_grid(data, options.out, options.cell, options.seconds, options.seed)
        results["grid"] = rows
    else:
        batch_size, rate = options.batch_size, options.rate
        if options.best_of_grid:
            best = json.loads((options.out / "grid.json").read_text())[0]
            batch_size, rate = best["batch_size"], best["rate"]
        rows = train_to_points(
            data, options.out / "long", cell=options.cell, batch_size=batch_size, rate=rate,
            points_s=options.points, seed=options.seed, n_samples=options.samples,
        )  # fmt: skip
        results |= {
            "cell": options.cell, "batch_size": batch_size, "rate": rate, "points": rows
        }  # fmt: skip
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    write_results(
        f"smiles_rnn_{options.command}", results, seed=options.seed,
        out=options.results or Path(__file__).with_name("results.json"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
