"""`molgen sample`: draw molecules into a file, shard by shard, on several processes."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import Progress

from molgen.config.campaign import LocalExecutorConfig
from molgen.errors import ConfigError
from molgen.generator.network import GraphTransformer
from molgen.generator.prompts import Prompt, parse_prompt
from molgen.generator.sampler import SamplingOptions, check_options, draw
from molgen.generator.weights import load_network
from molgen.runtime.executor import Future, WorkerPool
from molgen.runtime.executors import make_executor

SHARD_SIZE = 256
_MAX_BARREN = 6400  # molecules in a row that were there before, until `unique` gives up
_MIN_LINES_A_PROCESS = 1000  # for fewer, starting a process takes longer than drawing


@dataclass(frozen=True)
class Written:
    """What a file of samples holds, and what it cost.

    Attributes:
        n_lines: molecules written.
        n_attempts: molecules started in the shards that were used.
        n_rejected: of these, by reason: the forbidden SMARTS, or that no legal step was left.
    """

    n_lines: int
    n_attempts: int
    n_rejected: Counter[str]


@dataclass(frozen=True)
class Shard:
    """The SMILES of a shard, its attempts and rejections."""

    smiles: list[str]
    n_attempts: int
    n_rejected: Counter[str]


def write_samples(
    output: Path, n: int, *, seed: int, prompts: Sequence[str], prior: Path | None,
    options: SamplingOptions, unique: bool, n_processes: int,
) -> Written:  # fmt: skip
    """Draw n molecules and write one SMILES a line; the same lines on any number of processes.

    Args:
        output: the file; one that is there stays until the last line is drawn.
        n: lines to write; prompts have equal shares, one after the other. Where there are more
            prompts than lines, some of them, spread evenly, have one each.
        seed: same seed, same lines.
        prompts: cores to keep; none: de novo.
        prior: weights; None: the shipped ones.
        options: sizes, temperature, what may be added and what not.
        unique: leave out repeats and draw on until there are n different molecules.
        n_processes: that draw, at most.

    Returns:
        What was written: n lines, or fewer where a prompt has too few different completions.

    Raises:
        ConfigError: a prompt or an option cannot be used, the file cannot be written, or too many
            molecules matched what is forbidden.
    """
    network = load_network(prior)
    texts: list[str | None] = list(prompts) or [None]
    for text in texts:
        check_options(network, _parsed(text, network), options)
    shares = _shares(n, len(texts))
    n_workers = max(1, min(n_processes, n // _MIN_LINES_A_PROCESS))
    pool = WorkerPool("sampler", partial(SamplingWorker, prior, options), n_workers)
    executor = make_executor(
        LocalExecutorConfig(n_workers=n_workers, max_inflight=2 * n_workers), [pool]
    )

    def submit(prompt: int, shard: int, size: int) -> Future:
        return executor.submit("sampler", "draw", texts[prompt], size, (seed, prompt, shard))

    lines = _Lines(submit, shares, 1 if n_workers == 1 else 2 * n_workers, unique)
    try:
        with (
            _replacing(output) as file,
            Progress(console=Console(stderr=True), transient=True) as progress,
        ):
            task = progress.add_task("sampling", total=n)
            for smiles in lines:
                file.write(smiles + "\n")
                progress.advance(task)
    except OSError as error:
        raise ConfigError(f"-o {output}: cannot be written ({error.strerror})") from error
    finally:
        executor.close()
    return Written(lines.n_lines, lines.n_attempts, lines.n_rejected)


@contextmanager
def _replacing(output: Path) -> Iterator[TextIO]:
    """A file beside the output that becomes the output at the end, unless there is an error.

    What is no plain file, such as a pipe or /dev/stdout, is written line by line as it is.
    """
    is_device = output.absolute().parts[1:2] in (("dev",), ("proc",))  # stdout may be a file
    if is_device or (output.exists() and not output.is_file()):
        with output.open("w") as file:
            yield file
        return
    output = output.resolve()  # a link stays one
    if output.exists():
        output.open("a").close()  # one that must not be written is not replaced either
    temporary = output.with_name(f"{output.name}.part")
    try:
        with temporary.open("w") as file:
            yield file
        temporary.replace(output)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _shares(n: int, n_prompts: int) -> list[int]:
    """Lines for each prompt."""
    if n < n_prompts:
        return [(i + 1) * n // n_prompts - i * n // n_prompts for i in range(n_prompts)]
    return [n // n_prompts + (i < n % n_prompts) for i in range(n_prompts)]


def default_max_atoms(prior: Path | None) -> int:
    """Heavy atoms at most where nothing is asked for: what suits drugs and the prior can build."""
    return min(SamplingOptions().max_atoms, load_network(prior).size.max_atoms)


class SamplingWorker:
    """Holds the network."""

    def __init__(self, prior: Path | None, options: SamplingOptions) -> None:
        self._network, self._options = load_network(prior), options

    def draw(self, prompt: str | None, n: int, seed: Sequence[int]) -> Shard:
        """Draw a shard."""
        parsed = _parsed(prompt, self._network)
        drawn = draw(self._network, n, seed=seed, prompt=parsed, options=self._options)
        return Shard([s.smiles for s in drawn.samples], drawn.n_attempts, drawn.n_rejected)


def _parsed(prompt: str | None, network: GraphTransformer) -> Prompt | None:
    if prompt is None:
        return None
    return parse_prompt(prompt, network.vocabulary, network.tables)


class _Lines:
    """The lines of a file, prompt after prompt, and the count of what they cost."""

    def __init__(
        self, submit: Callable[[int, int, int], Future], shares: Sequence[int], n_ahead: int,
        unique: bool,
    ) -> None:  # fmt: skip
        self.n_lines = self.n_attempts = 0
        self.n_rejected = Counter[str]()
        self._submit, self._shares, self._n_ahead, self._unique = submit, shares, n_ahead, unique
        self._seen: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        sizes = [_split(share) for share in self._shares]
        planned = self._ahead(
            (prompt, shard, size)
            for prompt, shards in enumerate(sizes)
            for shard, size in enumerate(shards)
        )
        for prompt, (share, shards) in enumerate(zip(self._shares, sizes, strict=True)):
            left = share
            for smiles in self._smiles(itertools.islice(planned, len(shards))):
                if self._is_new(smiles):
                    left -= 1
                    yield smiles
            more = ((prompt, shard, SHARD_SIZE) for shard in itertools.count(len(shards)))
            drawn, barren = self._smiles(self._ahead(more)), 0
            while left and barren < _MAX_BARREN:
                smiles = next(drawn)
                barren += 1
                if self._is_new(smiles):
                    left, barren = left - 1, 0
                    yield smiles

    def _is_new(self, smiles: str) -> bool:
        """Whether a molecule is to be written; counts it then."""
        if self._unique:
            if smiles in self._seen:
                return False
            self._seen.add(smiles)
        self.n_lines += 1
        return True

    def _smiles(self, shards: Iterable[Shard]) -> Iterator[str]:
        for shard in shards:
            self.n_attempts += shard.n_attempts
            self.n_rejected += shard.n_rejected
            yield from shard.smiles

    def _ahead(self, calls: Iterable[tuple[int, int, int]]) -> Iterator[Shard]:
        """Results in order, with some calls under way beyond the one that is waited for."""
        calls = iter(calls)
        pending = deque(self._submit(*call) for call in itertools.islice(calls, self._n_ahead))
        while pending:
            yield pending.popleft().result()
            pending.extend(self._submit(*call) for call in itertools.islice(calls, 1))


def _split(n: int) -> list[int]:
    """Shards of nearly the same size."""
    n_shards = math.ceil(n / SHARD_SIZE)
    return [n // n_shards + (i < n % n_shards) for i in range(n_shards)]
