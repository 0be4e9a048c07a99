"""What README.md and docs tell people to type can be typed, and the pages can be built."""

import importlib.util
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from ruamel.yaml import YAML

with warnings.catch_warnings():
    # mlflow warns of its own type hints while it is imported.
    warnings.simplefilter("ignore")
    from pipelines import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# Programs of others; of their commands, the files of ours that they name are checked.
OTHERS = {
    *(
        "apt-get",
        "apt",
        "bash",
        "cd",
        "cp",
        "curl",
        "docker",
        "eval",
        "export",
        "git",
        "helm",
        "kubectl",
        "ls",
        "mkdir",
        "npm",
    ),
    *("openssl", "pip", "prefect", "pyenv", "pytest", "sh", "source", "sudo", "torchrun", "trtexec", "xdg-open"),
}
OURS = {"make", "diffusionad", "dvc", "python", "mlflow", "mkdocs"}
FOLDERS = ("docs/", "infra/", "params/", "pipelines/", "stages/", "tests/")


def commands(text):
    """Commands as shell words: lines of console blocks, and code within a line that starts with a program of ours."""
    blocks = re.findall(r"```(?:console|bash|sh)?\n(.*?)```", text, flags=re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.startswith("$ ")]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose):
        words = split(span)
        if len(words) > 1 and program(words) in OURS:
            lines.append(span)
    return [words for line in lines if (words := split(line))]


def split(line):
    """Words of a command, without variables before it and without the brackets of what may be left out."""
    try:
        words = shlex.split(re.sub(r"[\[\]]", " ", line) if " [-" in line else line, comments=True)
    except ValueError:
        return []
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def program(words):
    return words[0].removeprefix(".venv/bin/") if words else ""


def until_shell(words):
    """Up to what a shell would take for itself."""
    ends = [i for i, word in enumerate(words) if word in ("|", "&&", ";", ">", "&", "||")]
    return words[: ends[0]] if ends else words


def wrong(words):
    """What is wrong with a command; "" if nothing is."""
    name, arguments = program(words), until_shell(words[1:])
    if name in OTHERS:
        return missing_files(arguments)
    if name.startswith(("./", *FOLDERS)):
        return missing_files([name.removeprefix("./"), *arguments])
    if name not in OURS:
        return f"{name}: neither a program of ours nor a known one; run it in a test or add it to OTHERS"
    return CHECKS[name](arguments)


def missing_files(arguments):
    named = [word for word in arguments if word.startswith(FOLDERS) and not re.search(r"[A-Z]{3}|[<*{$]", word)]
    absent = [word for word in named if not (ROOT / word.split("::")[0]).exists()]
    return f"no such file: {absent}" if absent else ""


def check_make(arguments):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    unknown = [word for word in arguments if "=" not in word and not word.startswith("-") and word not in targets]
    return f"no target {unknown}" if unknown else ""


def check_diffusionad(arguments):
    parser = cli._parser()  # noqa: SLF001  # parsing is what a command line does before anything else
    try:
        parser.parse_args(arguments)
    except SystemExit as end:
        # A command named in passing, without what it needs.
        known = len(arguments) == 1 and arguments[0] in parser.format_help()
        return "" if known or end.code == 0 else "the command line does not parse"
    return ""


def check_dvc(arguments):
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    categories = YAML(typ="safe").load(ROOT / "params.yaml")["categories"]
    for word in arguments:
        stage, _, key = word.partition("@")
        if key and (stage not in stages or not (key in categories or key.isupper())):
            return f"no stage {word}"
    known = {"checkout", "commit", "dag", "diff", "exp", "gc", "metrics", "params", "plots", "pull", "push", "queue"}
    known |= {"remote", "repro", "status", "fetch", "stage", "init", "config"}
    words = [word for word in arguments if not word.startswith("-") and word != "..."]
    return "" if not words or words[0] in known else f"no command {words[0]}"


def check_python(arguments):
    if arguments[0] == "-m":
        found = importlib.util.find_spec(arguments[1]) is not None
        return missing_files(arguments[2:]) if found else f"no module {arguments[1]}"
    return missing_files(arguments)


def check_program(arguments):
    return missing_files(arguments)


CHECKS = {
    "make": check_make,
    "diffusionad": check_diffusionad,
    "dvc": check_dvc,
    "python": check_python,
    "mlflow": check_program,
    "mkdocs": check_program,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_typed(page):
    found = {shlex.join(words): wrong(words) for words in commands(page.read_text(encoding="utf-8"))}

    assert {command: fault for command, fault in found.items() if fault} == {}


def test_commands_are_found_and_wrong_ones_are_noticed():
    text = """
    Run `diffusionad promot --all`, then `dvc repro trian@elpv-mono` or `.venv/bin/python -m stages.trian KEY`.

```console
$ make reprow            # a comment
$ DATA_MIRROR=/x .venv/bin/dvc repro
output of it
$ rm -rf /
$ pytest tests/none.py
```
"""
    faults = {shlex.join(words): bool(wrong(words)) for words in commands(text)}

    assert faults == {
        "make reprow": True,
        ".venv/bin/dvc repro": False,
        "rm -rf /": True,
        "pytest tests/none.py": True,
        "diffusionad promot --all": True,
        "dvc repro trian@elpv-mono": True,
        ".venv/bin/python -m stages.trian KEY": True,
    }


def test_pictures_and_pages_that_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))

    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_pages_build_without_a_warning_and_name_no_place_outside(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    fetched = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\" >]+)")
    outside = {url for page in tmp_path.rglob("*.html") for url in fetched.findall(page.read_text(encoding="utf-8"))}

    assert (tmp_path / "review.html").is_file()
    assert outside == set()
