"""README and configs say what is so: commands parse, files exist, every config loads."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from molgen.cli import app
from molgen.config.kinds import load_any

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


def blocks(kind: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.M | re.S)


def molgen_commands() -> list[str]:
    """Every command line that calls molgen: in shell blocks, in the text, atop configs."""
    lines = [line.rpartition("| ")[2] for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(molgen [^`]*)`", README)
    for config in CONFIGS:
        heads = [line for line in config.read_text().splitlines() if line.startswith("#")]
        lines += re.findall(r"molgen [a-z-]+ configs/.*", "\n".join(heads))
    # Upper-case words stand for something else, as in `molgen COMMAND --help`.
    return sorted({x for x in lines if x.startswith("molgen ") and not re.search(r" [A-Z]+\b", x)})


def parse(arguments: list[str]) -> None:
    """Let the command line read arguments without doing anything; raises where it would refuse."""
    command, context = get_command(app), None
    while arguments and hasattr(command, "commands"):
        name, *arguments = arguments
        if name == "--help":
            return
        command = command.commands[name]
    if "--help" not in arguments:
        context = command.make_context("molgen", arguments)
        context.close()


def overrides(words: list[str]) -> list[str]:
    return [word for word in words if re.match(r"[a-z_]\w*(\.\w+)*=", word)]


def tree() -> Iterator[str]:
    """The paths of the file tree; an indented name lies below the last one that is not."""
    (block,) = blocks("text")
    parent = ""
    for line in block.splitlines():
        name = line.split()[0]
        if line.startswith(" "):
            yield parent + name
        else:
            parent = name
            yield name


@pytest.mark.parametrize("line", molgen_commands())
def test_the_command_exists(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    parse(words)
    configs = [Path(word) for word in words if word.startswith("configs/")]
    for config in configs:
        path = ROOT / config
        assert path.is_file()
        load_any(path, overrides(words))


def test_the_commands_of_the_readme_were_found() -> None:
    found = {line.split()[1] for line in molgen_commands()}
    commands = {
        "run",
        "sample",
        "predict",
        "report",
        "pretrain",
        "train-predictor",
        "data",
        "doctor",
    }
    assert commands | {"config"} <= found


def test_make_knows_its_targets() -> None:
    rules = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake ([a-z]+)\b", "\n".join(blocks("sh")))
    assert set(targets) == {"run", "test"}
    for target in [*targets, "check", "clean", "help"]:
        assert re.search(rf"^{target}:", rules, re.M)


def test_the_file_tree_names_what_exists() -> None:
    paths = list(tree())
    assert len(paths) > 15
    for path in paths:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


def test_the_file_tree_leaves_no_package_out() -> None:
    packages = {f"molgen/{path.parent.name}/" for path in (ROOT / "molgen").glob("*/__init__.py")}
    assert packages <= set(tree())


def test_files_named_in_the_text_exist() -> None:
    links = re.findall(r"(?<!!)\[[^]]*\]\((?!http)([^)#]+)\)", README)
    quoted = re.findall(r"`((?:configs|examples|notebooks|molgen)/[^` ]*)`", README)
    assert links and quoted
    for path in [*links, *quoted]:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_says_how_it_is_run_and_loads(config: Path) -> None:
    command = re.search(r"molgen ([a-z-]+) (configs/\S+)", config.read_text())
    assert command is not None and ROOT / command[2] == config
    load_any(config, [])
