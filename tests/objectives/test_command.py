"""The command protocol, with real child processes that behave and misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molgen.errors import ConfigError
from molgen.objectives.command import Command, CommandError
from molgen.objectives.external import CommandOracle, ExternalScores, score_batches
from tests.objectives.configs import command, script

# The score of a molecule is the length of its SMILES; `log` receives every batch.
GOOD = """
for line in sys.stdin:
    batch = json.loads(line)["smiles"]
    with open({log!r}, "a") as log:
        log.write(json.dumps([os.getpid(), batch]) + "\\n")
    print(json.dumps({{"scores": [len(s) for s in batch]}}), flush=True)
"""
_WORKER = """
from molgen.objectives.command import Command
Command({command!r}, "mine").ask(b"question", timeout_s=60, max_bytes=100)
"""
Ask = Callable[..., ExternalScores]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Scores SMILES with the program `body`; programs are ended after the test."""
    oracles = []

    def run(body: str, smiles: list[str], *, batch_size: int = 2, **options: Any) -> ExternalScores:
        oracles.append(CommandOracle(script(tmp_path / "oracle.py", body, **options)))
        return score_batches(oracles[-1], smiles, batch_size=batch_size)

    yield run
    for oracle in oracles:
        oracle.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def sent(log: Path) -> list[list[str]]:
    """The batches that reached a program."""
    return [json.loads(line)[1] for line in log.read_text().splitlines()]


def pids(log: Path) -> set[int]:
    return {json.loads(line)[0] for line in log.read_text().splitlines()}


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_one_process_answers_all_batches_and_no_molecule_is_sent_twice(ask: Ask, log: Path) -> None:
    found = ask(GOOD.format(log=str(log)), ["C", "CC", "C", "", "CCC", "CC"])
    assert found.values.tolist()[:3] == [1, 2, 1] and found.values.tolist()[4:] == [3, 2]
    assert np.isnan(found.values[3]) and found.reasons == [""] * 6 and not found.all_failed
    assert sent(log) == [["C", "CC"], ["CCC"]]
    assert len(pids(log)) == 1


def test_the_process_ends_when_the_oracle_is_closed(tmp_path: Path, log: Path) -> None:
    oracle = CommandOracle(script(tmp_path / "oracle.py", GOOD.format(log=str(log))))
    score_batches(oracle, ["C"], batch_size=1)
    (pid,) = pids(log)
    assert is_running(pid)
    oracle.close()
    oracle.close()
    assert not is_running(pid)


def test_an_oracle_that_was_closed_starts_again_when_asked(tmp_path: Path, log: Path) -> None:
    oracle = CommandOracle(script(tmp_path / "oracle.py", GOOD.format(log=str(log))))
    for _ in range(2):
        assert score_batches(oracle, ["C"], batch_size=1).values.tolist() == [1]
        oracle.close()
    assert len(pids(log)) == 2


def test_a_program_that_ignores_the_end_of_its_input_is_killed(tmp_path: Path, log: Path) -> None:
    body = GOOD.format(log=str(log)) + "time.sleep(60)"
    oracle = CommandOracle(script(tmp_path / "oracle.py", body))
    score_batches(oracle, ["C"], batch_size=1)
    (pid,) = pids(log)
    oracle.close()
    assert not is_running(pid)


def test_a_program_at_work_is_ended_with_all_it_started_when_its_worker_is_killed(
    tmp_path: Path,
) -> None:
    """It would go on for hours, as it is not reading."""
    body = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
with open({str(tmp_path / "part")!r}, "w") as out: out.write(f"{{os.getpid()}} {{child.pid}}")
os.rename({str(tmp_path / "part")!r}, {str(tmp_path / "pids")!r})
time.sleep(60)
"""
    scorer = script(tmp_path / "oracle.py", body)
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER.format(command=scorer.command)], cwd=Path.cwd()
    )
    assert wait_until((tmp_path / "pids").exists)
    worker.kill()
    worker.wait()
    for pid in (tmp_path / "pids").read_text().split():
        assert wait_until(lambda pid=pid: not is_running(int(pid)))  # type: ignore[misc]


def test_null_leaves_a_molecule_without_a_score_and_is_no_failure(ask: Ask) -> None:
    body = "for line in sys.stdin: print('{\"scores\": [1.5, null]}', flush=True)"
    found = ask(body, ["C", "CC"])
    assert found.values[0] == 1.5 and np.isnan(found.values[1])
    assert found.reasons == ["", "the scorer gave no score"] and not found.all_failed


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_no_score(ask: Ask, number: str) -> None:
    body = f"for line in sys.stdin: print('{{\"scores\": [{number}, 2]}}', flush=True)"
    found = ask(body, ["C", "CC"])
    assert np.isnan(found.values[0]) and found.values[1] == 2
    assert "which is no score" in found.reasons[0] and not found.all_failed


@pytest.mark.parametrize(
    ("odd", "words"), [('"2"', "'2'"), ("true", "True"), ("[2]", "[2]"), ('"\\u001b[2J"', "x1b")]
)
def test_what_is_no_number_costs_its_own_molecule_alone(ask: Ask, odd: str, words: str) -> None:
    body = f"for line in sys.stdin: print(r'{{\"scores\": [{odd}, 2]}}', flush=True)"
    found = ask(body, ["C", "CC"], max_restarts=2)
    assert np.isnan(found.values[0]) and found.values[1] == 2 and not found.all_failed
    assert words in found.reasons[0] and "where a number belongs" in found.reasons[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Loading the model", "'Loading the model' where JSON belongs"),
        ("", "'' where JSON belongs"),
        ("[1, 2]", 'without a list "scores"'),
        ('{"score": [1, 2]}', 'without a list "scores"'),
        ('{"scores": 3}', 'without a list "scores"'),
        ('{"scores": [1]}', "1 scores for 2 molecules"),
        ('{"scores": [1, 2, 3]}', "3 scores for 2 molecules"),
        ('{"scores": [1, 2]}\\n{"scores": [1, 2]}', "more than one line"),
        ("[" * 100_000, "where JSON belongs"),
        ('{"scores": [1, ' + "9" * 5000 + "]}", "where JSON belongs"),
        ("\\xff\\xfe", "where JSON belongs"),
    ],
)
def test_garbage_fails_the_batch_and_says_what_was_answered(
    ask: Ask, tmp_path: Path, answer: str, words: str
) -> None:
    body = f"""
for line in sys.stdin:
    sys.stdout.buffer.write(b'{answer}\\n')
    sys.stdout.flush()
"""
    found = ask(body, ["C", "CC"])
    assert np.isnan(found.values).all() and found.all_failed
    assert all(words in reason and "attempt 1 of 1" in reason for reason in found.reasons)


def test_a_failed_batch_is_sent_again_to_a_new_process_as_often_as_allowed(
    ask: Ask, log: Path
) -> None:
    body = GOOD.format(log=str(log)).replace("    print(", "    sys.exit(7)\n    print(")
    found = ask(body, ["C"], max_restarts=2)
    assert found.reasons == ["the scorer ended with exit code 7 (attempt 3 of 3)"]
    assert sent(log) == [["C"]] * 3 and len(pids(log)) == 3


def test_a_crash_costs_only_its_batch_a_second_call(ask: Ask, log: Path, tmp_path: Path) -> None:
    # The first process dies at the second batch, when it has answered the first.
    body = GOOD.format(log=str(log)).replace(
        "    print(",
        f"    if 'CCC' in batch and not os.path.exists({str(tmp_path / 'died')!r}):\n"
        f"        open({str(tmp_path / 'died')!r}, 'w').close()\n"
        "        os.kill(os.getpid(), 9)\n"
        "    print(",
    )
    found = ask(body, ["C", "CC", "CCC", "CCCC", "CCCCC"], max_restarts=1)
    assert found.values.tolist() == [1, 2, 3, 4, 5] and not found.all_failed
    assert sent(log) == [["C", "CC"], ["CCC", "CCCC"], ["CCC", "CCCC"], ["CCCCC"]]


def test_a_molecule_that_ends_the_scorer_costs_no_other_its_score(ask: Ask, log: Path) -> None:
    body = GOOD.format(log=str(log)).replace(
        "    print(", "    if 'CCC' in batch: os.kill(os.getpid(), 9)\n    print("
    )
    found = ask(body, ["C", "CC", "CCC", "CCCC", "CCCCC"], max_restarts=1)
    assert np.isnan(found.values).tolist() == [False, False, True, False, False]
    assert found.reasons[2] == "the scorer ended by signal 9 (attempt 2 of 2)"
    assert not found.all_failed


def test_a_molecule_at_which_the_scorer_hangs_costs_no_other_its_score(ask: Ask, log: Path) -> None:
    body = GOOD.format(log=str(log)).replace(
        "    print(", "    if 'CCC' in batch: time.sleep(60)\n    print("
    )
    found = ask(body, ["C", "CCC"], timeout_s=1.5)
    assert found.values[0] == 1 and np.isnan(found.values[1]) and not found.all_failed
    assert "did not answer within 1.5 s" in found.reasons[1]


def test_a_batch_that_is_only_too_slow_is_scored_and_told_once(
    ask: Ask, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    body = GOOD.format(log=str(log)).replace(
        "    print(", "    time.sleep(60 if len(batch) > 1 else 0)\n    print("
    )
    found = ask(body, ["C", "CC", "CCC", "CCCC"], timeout_s=1.0)
    assert found.values.tolist() == [1, 2, 3, 4]
    (warning,) = caplog.messages
    assert warning.startswith("scorer: 2 molecules together had no answer in time")
    assert warning.endswith("raise timeout_s or lower batch_size")


def test_a_scorer_that_ends_at_each_molecule_is_given_up(ask: Ask, log: Path) -> None:
    """Also where each batch is one molecule."""
    body = GOOD.format(log=str(log)).replace(
        "    print(", "    if 'CC' in batch[0]: os.kill(os.getpid(), 9)\n    print("
    )
    found = ask(body, ["C", *("C" * n for n in range(2, 12))], batch_size=1)
    assert [len(batch[0]) for batch in sent(log)] == [1, 2, 3, 4, 5]
    assert (
        found.reasons[5:] == ["not asked: the 4 molecules before it had no answer, each alone"] * 6
    )
    assert not found.all_failed  # the first was scored


def test_a_scorer_that_always_ends_is_not_asked_for_every_molecule(ask: Ask, log: Path) -> None:
    body = GOOD.format(log=str(log)).replace(
        "    print(", "    os.kill(os.getpid(), 9)\n    print("
    )
    found = ask(body, ["C" * n for n in range(1, 9)], batch_size=8)
    assert np.isnan(found.values).all() and found.all_failed
    assert [len(batch) for batch in sent(log)] == [8, 1, 1]


def test_a_program_that_hangs_is_killed_with_all_it_started(ask: Ask, tmp_path: Path) -> None:
    body = f"""
import subprocess
child = subprocess.Popen(["sleep", "60"])
with open({str(tmp_path / "pids")!r}, "w") as out: out.write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(60)
"""
    found = ask(body, ["C"], timeout_s=2.0)
    assert found.reasons == ["the scorer did not answer within 2 s (attempt 1 of 1)"]
    for pid in (tmp_path / "pids").read_text().split():
        # the grandchild ends as soon as its new parent has noticed
        assert wait_until(lambda pid=pid: not is_running(int(pid)))  # type: ignore[misc]


def test_a_program_that_exits_at_once_is_told_with_its_last_words(ask: Ask) -> None:
    found = ask("sys.exit('licence expired')", ["C", "CC"], max_restarts=1)
    assert found.all_failed
    for reason in found.reasons:
        assert "ended with exit code 1 (attempt 2 of 2)" in reason
        assert reason.endswith("its standard error ends: licence expired")


def test_a_program_that_ends_after_each_answer_is_started_again(ask: Ask, log: Path) -> None:
    body = GOOD.format(log=str(log)) + "    break"
    found = ask(body, ["C", "CC", "CCC"], batch_size=1, max_restarts=1)
    assert found.values.tolist() == [1, 2, 3]
    assert sent(log) == [["C"], ["CC"], ["CCC"]]


def test_a_slow_program_has_time_until_its_timeout(ask: Ask, log: Path) -> None:
    body = GOOD.format(log=str(log)).replace("    print(", "    time.sleep(0.3)\n    print(")
    assert ask(body, ["C", "CC"], timeout_s=15).values.tolist() == [1, 2]


def test_a_large_batch_and_many_messages_do_not_block_each_other(ask: Ask, log: Path) -> None:
    body = "sys.stderr.write('x' * 300_000)\n" + GOOD.format(log=str(log)).replace(
        "    print(", "    sys.stderr.write('y' * 300_000)\n    print("
    )
    smiles = ["C" * (100 + i) for i in range(3000)]  # about 5 MB
    assert ask(body, smiles, batch_size=3000).values.tolist() == [len(s) for s in smiles]


def test_an_answer_without_end_is_cut_off(ask: Ask) -> None:
    body = "sys.stdin.readline()\nwhile True: sys.stdout.write('1' * 65536)"
    found = ask(body, ["C"])
    assert "longer than 1001000 bytes" in found.reasons[0]


def test_a_line_that_waits_before_the_question_is_never_taken_for_its_answer() -> None:
    talkative = """
import sys, time
for line in sys.stdin:
    print("answer", flush=True)
    time.sleep(0.05)
    print("stray", flush=True)
"""
    child = Command([sys.executable, "-c", talkative], "oracle")
    try:
        assert child.ask(b"1\n", timeout_s=20, max_bytes=1000) == b"answer"
        time.sleep(1.0)  # by now the stray line is there
        with pytest.raises(CommandError, match="'stray', which nobody asked for"):
            child.ask(b"2\n", timeout_s=20, max_bytes=1000)
    finally:
        child.kill()


def test_a_banner_before_the_first_question_is_named(ask: Ask) -> None:
    found = ask("print('Welcome!', flush=True); sys.stdin.readline(); time.sleep(60)", ["C"])
    # It comes before the question or in place of the answer, as the processes happen to run.
    assert "'Welcome!'" in found.reasons[0]


def test_a_program_that_closes_its_input_and_stays_runs_into_its_timeout(ask: Ask) -> None:
    found = ask("os.close(0); time.sleep(60)", ["C" * 200_000], timeout_s=1.0)
    assert "did not answer within 1 s" in found.reasons[0]


def test_a_program_that_does_not_exist_is_a_config_error_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"component 'oracle'.*'no-such-program'"):
        CommandOracle(command("no-such-program"))
    with pytest.raises(ConfigError, match=r"no script 'missing\.py'"):
        CommandOracle(command("{python}", "missing.py"))


def test_a_file_that_cannot_be_executed_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "oracle").write_text("no program")
    with pytest.raises(ConfigError, match="make it executable"):
        CommandOracle(command(str(tmp_path / "oracle")))


def test_a_file_that_is_no_program_fails_its_batches(tmp_path: Path) -> None:
    path = tmp_path / "oracle"
    path.write_bytes(b"\x7fELF but not really")
    path.chmod(0o755)
    found = score_batches(CommandOracle(command(str(path))), ["C"], batch_size=1)
    assert "cannot start the scorer" in found.reasons[0] and found.all_failed


def test_python_stands_for_the_running_python() -> None:
    source = (
        "import sys, json\n"
        "for line in sys.stdin: print(json.dumps({'scores': [hash(sys.executable)]}), flush=True)"
    )
    for words in (["{python}"], ["env", "{python}"], ["sh", "-c", 'exec {python} "$@"', "-"]):
        oracle = CommandOracle(command(*words, "-c", source))
        found = score_batches(oracle, ["C"], batch_size=1)
        oracle.close()
        assert found.reasons == [""]


def test_ctrl_c_in_the_middle_leaves_no_process_that_could_answer_late(
    tmp_path: Path, log: Path
) -> None:
    body = GOOD.format(log=str(log)).replace("    print(", "    time.sleep(60)\n    print(")
    oracle = CommandOracle(script(tmp_path / "oracle.py", body))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupt_when_asked() -> None:
        wait_until(log.exists)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, interrupt)
    thread = threading.Thread(target=interrupt_when_asked)
    try:
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            oracle.ask(["C"])
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert not any(is_running(pid) for pid in pids(log))


def test_the_shipped_example_speaks_the_protocol() -> None:
    example = Path(__file__).parents[2] / "examples" / "logp_oracle.py"
    oracle = CommandOracle(command(sys.executable, os.fspath(example)))
    found = score_batches(oracle, ["CCO", "c1ccccc1", "oops"], batch_size=2)
    oracle.close()
    assert found.values[:2].tolist() == pytest.approx([-0.0014, 1.6866], abs=1e-4)
    assert found.reasons == ["", "", "the scorer gave no score"]
