"""`diffusionad init`: a folder becomes an entry, or a line says why not."""

import difflib
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.common.dataset import DatasetConfig
from stages.params import read_category, read_section
from stages.tools.init import Wish, init
from stages.tools.settings import copy_settings
from toys.pictures import mark, paint

ROOT = Path(__file__).parents[3]
NO_WISH = Wish(None, None, (), None, None, "")


@pytest.fixture
def params(tmp_path):
    return copy_settings(ROOT / "params.yaml", tmp_path)


@pytest.fixture
def screws(tmp_path):
    """A folder with 12 good screws to train on, 3 good and 2 scratched ones to test with, and a note."""
    home = tmp_path / "my screws" / "screw"
    for i in range(12):
        paint(home / f"train/good/{i:02d}.png", seed=i)
    for i in range(3):
        paint(home / f"test/good/{i:02d}.png", seed=50 + i)
    for i in range(2):
        paint(home / f"test/scratch/{i:02d}.png", seed=90 + i)
        mark(home / f"ground_truth/scratch/{i:02d}_mask.png")
    (home.parent / "note.txt").write_text("a note")
    return home.parent


@pytest.fixture
def say(params, tmp_path):
    """What the command prints for a folder."""

    def say(folder, **wishes):
        return list(init(folder, NO_WISH._replace(**wishes), tmp_path / "cache", params))

    return say


def test_what_is_found_is_said_and_written_and_the_next_command_named(say, screws, params):
    lines = say(screws)

    assert lines == [
        f"{screws}: layout `folder`, which accounts for 19 files",
        "  screw: train: 12 normal, 0 anomalous; test: 3 normal, 2 anomalous; 2 masks",
        "  1 other files (tables, notes, what is left out): note.txt",
        f"{params}: wrote `datasets.my_screws` and `categories.my_screws-screw`",
        "say whose photographs they are: `licence`, `licence_url` and `non_commercial` of `datasets.my_screws`",
        "next: .venv/bin/dvc repro evaluate@my_screws-screw benchmark@my_screws-screw",
    ]
    assert read_category("my_screws-screw", params).detector == "ensemble"
    dataset = read_section(DatasetConfig, "datasets.my_screws", params)
    assert (dataset.layout, dataset.sources[0].url, dataset.non_commercial) == ("folder", str(screws), True)


def test_every_other_line_of_the_settings_stays(say, screws, params):
    before = params.read_text().splitlines()

    say(screws, licence="CC0", licence_url="https://example.org")

    after = params.read_text().splitlines()
    assert [line for line in difflib.ndiff(before, after) if line.startswith("- ")] == []
    assert len(after) == len(before) + 4 + 12


def test_a_second_time_changes_nothing(say, screws, params):
    say(screws)
    before = params.read_text()

    say(screws)

    assert params.read_text() == before


def test_a_published_data_set_keeps_its_licence_and_terms(say, screws, params):
    tiles = screws.rename(screws.with_name("hazelnut_toy"))

    lines = say(tiles)

    dataset = read_section(DatasetConfig, "datasets.hazelnut_toy", params)
    assert dataset.licence == "Apache-2.0"
    assert [source.url for source in dataset.sources] == [str(tiles)]
    assert not [line for line in lines if "whose photographs" in line]


def test_an_archive_is_looked_into(say, screws, params, tmp_path):
    archive = shutil.make_archive(tmp_path / "packed", "zip", screws)

    say(Path(archive))

    assert read_section(DatasetConfig, "datasets.packed", params).sources[0].url == archive


def test_one_of_several_categories_may_be_named(say, screws, params):
    shutil.copytree(screws / "screw", screws / "bolt")

    say(screws, categories=("bolt",))

    assert list(YAML(typ="safe").load(params)["categories"]) == ["elpv-mono", "my_screws-bolt"]


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"name": "mvtec_ad"}, "`datasets.mvtec_ad` exists, for other data; say another name, as --name NAME"),
        ({"name": "v1.2"}, "key 'v1.2' of `datasets`: expected a text of letters"),
        ({"layout": "mvtec"}, "--layout mvtec: there is no such layout; expected one of anomalib_folder, coco"),
        ({"layout": "visa"}, "no layout of visa fits"),
        ({"categories": ("bolt",)}, "no category bolt; it holds screw"),
        ({"detector": "patchwork"}, "there is no detector `patchwork`; expected one of"),
        ({"name": "elpv", "categories": ("screw",)}, "`datasets.elpv` exists, for other data"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is(say, screws, params, wishes, reason):
    before = params.read_text()

    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as refusal:
        say(screws, **wishes)

    assert reason in str(refusal.value)
    assert params.read_text() == before


def test_a_folder_that_is_read_in_two_ways_asks_which(say, tmp_path):
    for i in range(4):
        paint(tmp_path / "nuts" / ("good" if i else "scratch") / f"{i}.png", seed=i)
    lines = "".join(f"{'good' if i else 'scratch'}/{i}.png,{int(not i)}\n" for i in range(4))
    (tmp_path / "nuts" / "nuts.csv").write_text(f"path,label\n{lines}")

    with pytest.raises(ValueError, match=r"nuts: can be read as `anomalib_folder` or `csv`, with 4 files each; say"):
        say(tmp_path / "nuts")


def test_a_folder_that_is_not_there_is_named(say, tmp_path):
    with pytest.raises(ValueError, match="none: no such folder or archive; name the folder that holds"):
        say(tmp_path / "none")
