"""What any file of the repository tells people to type can be typed, what it names exists, and the pages build."""

import argparse
import ast
import importlib.util
import io
import re
import shlex
import subprocess
import sys
import tokenize
import tomllib
import warnings
from pathlib import Path
from unittest.mock import patch

import pytest
from ruamel.yaml import YAML

with warnings.catch_warnings():
    # mlflow warns of its own type hints while it is imported.
    warnings.simplefilter("ignore")
    from pipelines import cli

ROOT = Path(__file__).parents[2]
ROOMS = ("diffusionad", "stages", "pipelines")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = sorted(file for room in (*ROOMS, "infra") for file in (ROOT / room).rglob("*.py"))
PLAIN = sorted(
    [
        *(ROOT / name for name in ("params.yaml", "dvc.yaml", "Makefile", "pyproject.toml", "mkdocs.yml")),
        *(ROOT / "params").glob("*.yaml"),
        *(file for file in (ROOT / "infra").rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")),
    ]
)
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
    *("openssl", "prefect", "pyenv", "pytest", "sh", "source", "sudo", "torchrun", "trtexec", "xdg-open"),
}
OURS = {"make", "diffusionad", "dvc", "python", "pip", "mlflow", "mkdocs"}
FOLDERS = ("diffusionad/", "docs/", "infra/", "params/", "pipelines/", "stages/", "tests/")
BLANK = "X"
"""Stands where a message fills in a value."""
PLACEHOLDER = rf"\b(?:[A-Z]{{3,}}|{BLANK})\b"
EVENTS = {"diffusionad.drifted"}
"""Names with a dot that are not those of modules."""


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


def messages(source):
    """Comments and strings of Python code; docstrings are strings, and `BLANK` stands for what is filled in."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    nodes = list(ast.walk(ast.parse(source)))
    filled_in = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for parts in filled_in for part in parts}
    plain = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
    said = ["".join(part.value if isinstance(part, ast.Constant) else BLANK for part in parts) for parts in filled_in]
    return ["\n".join(comments), *said, *(value for value in plain if isinstance(value, str))]


def without_marks(text):
    """Text whose comments run on from line to line, without what begins each of them."""
    return re.sub(r"^[ \t]*#[ \t]?", "", text, flags=re.MULTILINE)


def bare_commands(text):
    """Commands of scripts, settings and messages that stand there without quotes, as shell words."""
    found = re.findall(
        r"(?:\S*/)?python\"? -m [\w.]+|(?<=: )make [a-z-]+|(?<=\)/)diffusionad [^|;&\n]+|\Adiffusionad .+\Z", text
    )
    return [split(line.replace('"', "")) for line in found]


def texts(file):
    """What a file says to people, piece by piece."""
    content = file.read_text(encoding="utf-8")
    pieces = messages(content) if file.suffix == ".py" else [content]
    return [piece if file.suffix == ".md" else without_marks(piece) for piece in pieces]


def missing_names(text):
    """Files and modules of ours that a text names and that do not exist."""
    places = re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})[\w./-]*\.(?:py|md|yaml|sh|json|ini)\b", text)
    modules = re.findall(r"(?<![\w./-])(?:diffusionad|stages|pipelines)(?:\.\w+)+(?![\w/.])", text)
    return {
        *(place for place in places if not (re.search(PLACEHOLDER, place) or (ROOT / place).exists())),
        *(name for name in modules if not (name in EVENTS or re.search(PLACEHOLDER, name) or known(name))),
    }


def known(dotted):
    """Whether a dotted name is that of a module, or of something that a module's code names."""
    module, rest = dotted, ""
    while not (file := source_of(module)):
        module, _, rest = module.rpartition(".")
    return not rest or bool(re.search(rf"\b{rest}\b", file.read_text(encoding="utf-8")))


def source_of(module):
    """The file of a module of ours; None if there is none."""
    place = ROOT.joinpath(*module.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


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
    return re.sub(r"^(?:\.venv/bin|infra|.*\$\{?\(?BIN[)}]?)/(?=\w+$)", "", words[0]) if words else ""


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
        with patch.object(argparse.ArgumentParser, "_check_value", check_value):
            parser.parse_args(arguments)
    except SystemExit as end:
        # A command named in passing, without what it needs.
        named = [word for word in arguments if not word.startswith("-")]
        return "" if end.code == 0 or (named == list(arguments) and is_command(parser, named)) else "does not parse"
    return ""


CHECK_VALUE = argparse.ArgumentParser._check_value  # noqa: SLF001  # argparse offers no other way to allow a blank


def check_value(parser, action, value):
    """Take a blank for any choice."""
    if value != BLANK:
        CHECK_VALUE(parser, action, value)


def is_command(parser, words):
    """Whether words name a command of a parser, or a command of a command."""
    for word in words:
        choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]  # noqa: SLF001
        if not choices or word not in choices[0]:
            return False
        parser = choices[0][word]
    return True


def check_dvc(arguments):
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    categories = YAML(typ="safe").load(ROOT / "params.yaml")["categories"]
    for word in arguments:
        stage, _, key = word.partition("@")
        if key and (stage not in stages or not (key in categories or key.isupper())):
            return f"no stage {word}"
    known = {"checkout", "commit", "dag", "diff", "exp", "gc", "metrics", "params", "plots", "pull", "push", "queue"}
    known |= {"remote", "repro", "status", "fetch", "stage", "init", "config"}
    words = [word for word in arguments if not word.startswith("-") and word not in ("...", BLANK)]
    return "" if not words or words[0] in known else f"no command {words[0]}"


def check_python(arguments):
    if not arguments or arguments[0] != "-m":
        return missing_files(arguments)
    if re.search(PLACEHOLDER, arguments[1]):
        return ""
    module, *rest = arguments[1:]
    if module.split(".")[0] not in ROOMS:
        # Not asked for pip: the finder of setuptools would take that for pip at work, and build nothing from then on.
        return missing_files(rest) if module == "pip" or importlib.util.find_spec(module) else f"no module {module}"
    if (file := source_of(module)) and file.name == "__init__.py":
        file = source_of(f"{module}.__main__")
    if not file:
        return f"no module {module} that can be run"
    runs = file.name == "__main__.py" or '__name__ == "__main__"' in file.read_text(encoding="utf-8")
    return missing_files(rest) if runs else f"{module} does nothing"


def check_pip(arguments):
    extras = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    )
    asked = {extra for word in arguments for names in re.findall(r"\.\[(.+)\]", word) for extra in names.split(",")}
    return f"no extra {unknown}" if (unknown := sorted(asked - extras - {BLANK})) else missing_files(arguments)


def check_program(arguments):
    return missing_files(arguments)


CHECKS = {
    "make": check_make,
    "diffusionad": check_diffusionad,
    "dvc": check_dvc,
    "python": check_python,
    "pip": check_pip,
    "mlflow": check_program,
    "mkdocs": check_program,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_can_be_typed(page):
    found = {shlex.join(words): wrong(words) for words in commands(page.read_text(encoding="utf-8"))}

    assert {command: fault for command, fault in found.items() if fault} == {}


@pytest.mark.parametrize("files", [CODE, PLAIN], ids=["code", "settings and scripts"])
def test_every_command_of_a_comment_a_docstring_or_a_message_can_be_typed(files):
    found = [
        (file.relative_to(ROOT), words)
        for file in files
        for text in texts(file)
        for words in [*commands(text), *bare_commands(text)]
    ]
    faults = {f"{place}: {shlex.join(words)}": fault for place, words in found if (fault := wrong(words))}

    assert len(found) > 10
    assert faults == {}


def test_what_a_file_names_of_the_repository_exists():
    files = [*PAGES, *CODE, *PLAIN]
    missing = {
        (str(file.relative_to(ROOT)), name) for file in files for text in texts(file) for name in missing_names(text)
    }

    assert missing == set()


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


def test_commands_of_code_and_settings_are_found_and_wrong_ones_are_noticed():
    code = r'''"""Do it: `python -m stages.trian KEY`."""
raise Error(f"{x}: no; run `pip install -e '.[{y},onyx]'`")
# Where it fails, `python -m
# stages.paths` helps.
say(f"diffusionad explian {z}", f"diffusionad explain {z}")
'''
    script = """# Then `make
# reprow`.
fail "none: make setup-dve, or set X"
$(BIN)/diffusionad serv
infra/python -m stages.train
"""
    pieces = [*messages(code), script]

    found = [words for piece in map(without_marks, pieces) for words in [*commands(piece), *bare_commands(piece)]]

    assert {shlex.join(words): bool(wrong(words)) for words in found} == {
        "python -m stages.trian KEY": True,
        "python -m stages.trian": True,
        "pip install -e '.[X,onyx]'": True,
        "python -m stages.paths": True,
        "diffusionad explian X": True,
        "diffusionad explain X": False,
        "make reprow": True,
        "make setup-dve": True,
        "diffusionad serv": True,
        "infra/python -m stages.train": False,
    }


def test_files_and_modules_that_do_not_exist_are_noticed():
    text = "params/paper.yaml, params/papre.yaml, params/NAME.yaml, `stages.train.stage`, stages.train.stagee"

    assert missing_names(text) == {"params/papre.yaml", "stages.train.stagee"}


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
