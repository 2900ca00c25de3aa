"""docs/design_modes.md says what is so: its sessions are run, its commands parsed."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest

from molgen.generator.design_modes import MODES
from molgen.generator.weights import SHIPPED_PRIOR
from tests.test_docs import parse

DOCUMENT = Path(__file__).parents[2] / "docs" / "design_modes.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.M | re.S)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


def test_the_sessions_print_what_they_say() -> None:
    session = "\n".join(blocks("pycon"))
    test = doctest.DocTestParser().get_doctest(session, {}, "design_modes.md", str(DOCUMENT), 0)
    said: list[str] = []
    result = doctest.DocTestRunner().run(test, out=said.append)
    assert result.attempted > 10
    assert not result.failed, "".join(said)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_command_exists(line: str) -> None:
    parse(shlex.split(line)[1:])


def test_every_mode_has_its_command() -> None:
    named = {mode for line in COMMANDS for mode in re.findall(r"--mode (\w+)", line)}
    assert named | {"de_novo"} == set(MODES)


@pytest.mark.skipif(not SHIPPED_PRIOR.is_file(), reason="no prior in this checkout")
def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("python")
    exec(compile(program, "design_modes.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 8
