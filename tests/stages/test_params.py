import pytest

from diffusionad.section import Section
from stages.params import Category, ImageConfig, read_category, read_section


class Inner(Section):
    rate: float


class Outer(Section):
    count: int
    size: tuple[int, int]
    inner: Inner


GOOD = """
outer:
  count: 3
  size: [4, 5]
  inner:
    rate: 1e-4
categories:
  cells:
    dataset: elpv
    category: mono
  tiles:
    dataset: magnetic_tile
    category: all
"""


@pytest.fixture
def params(tmp_path):
    """A function that writes params.yaml, with something replaced."""

    def write(old="", new=""):
        assert old in GOOD
        file = tmp_path / "params.yaml"
        file.write_text(GOOD.replace(old, new, 1))
        return file

    return write


def refusal(call):
    """The one line that a call is refused with."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        call()
    return str(caught.value)


def test_a_section_is_read_with_all_inside_it(params):
    outer = read_section(Outer, "outer", params())

    assert outer == Outer(count=3, size=(4, 5), inner=Inner(rate=0.0001))


def test_numbers_are_read_as_dvc_reads_them(params):
    """YAML 1.2: 1e-4 is a number; for YAML 1.1 it is text."""
    assert read_section(Outer, "outer", params()).inner.rate == 1e-4


def test_a_dot_steps_into_a_section(params):
    assert read_section(Inner, "outer.inner", params()) == Inner(rate=0.0001)


def test_a_section_cannot_be_changed(params):
    with pytest.raises(ValueError, match="frozen"):
        read_section(Outer, "outer", params()).count = 4


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("count: 3", "count: 3\n  cuont: 4", "unknown key `outer.cuont`; expected one of count, size, inner"),
        ("rate: 1e-4", "rate: 1e-4\n    rat: 1", "unknown key `outer.inner.rat`; expected one of rate"),
        ("  count: 3\n", "", "`outer.count` is missing; add it"),
        ("count: 3", "count: three", "`outer.count`: Input should be a valid integer, got 'three'"),
        ("count: 3", "count: 3.0", "`outer.count`: Input should be a valid integer, got 3.0"),
        ("count: 3", "count: '3'", "`outer.count`: Input should be a valid integer, got '3'"),
        ("count: 3", "count: 2024-01-01", "`outer.count`: Input should be a valid integer, got '2024-01-01'"),
        ("[4, 5]", "[4, a]", "`outer.size.1`: Input should be a valid integer, got 'a'"),
        ("outer:", "auter:", "no `outer`; it holds auter, categories"),
        ("outer:", "1:", "no `outer`; it holds 1, categories"),
        ("outer:", "outer: [", "not valid YAML"),
        ("outer:", "outer: 1\nouter:", "not valid YAML"),
        (GOOD, "", "no `outer`; it holds nothing"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_the_way_out(params, old, new, text):
    file = params(old, new)

    line = refusal(lambda: read_section(Outer, "outer", file))

    assert line.startswith(f"{file}: ")
    assert text in line


def test_every_mistake_of_a_section_is_named(params):
    line = refusal(lambda: read_section(Outer, "outer", params("count: 3", "cuont: 3")))

    assert "unknown key `outer.cuont`" in line
    assert "`outer.count` is missing" in line


def test_a_missing_file_says_where_to_stand(tmp_path):
    line = refusal(lambda: read_section(Outer, "outer", tmp_path / "params.yaml"))

    assert line == f"{tmp_path / 'params.yaml'}: not found; run from the root of the repository"


def test_a_category_is_read_by_its_key(params):
    assert read_category("tiles", params()) == Category(dataset="magnetic_tile", category="all")


def test_a_category_that_does_not_exist_names_those_that_do(params):
    file = params()

    assert (
        refusal(lambda: read_category("bottle", file)) == f"{file}: no `bottle` in `categories`; it holds cells, tiles"
    )


def test_a_category_may_not_leave_its_folder(params):
    assert "`categories.cells.category`" in refusal(lambda: read_category("cells", params("mono", "../mono")))


@pytest.mark.parametrize("key", ["v1.2", "two words", "a/b", "-x", "7", "null", "''"])
@pytest.mark.parametrize("section", ["categories", "datasets"])
def test_a_key_that_cannot_name_a_stage_is_refused_by_name(params, section, key):
    old = "  cells:\n" if section == "categories" else "categories:\n"
    new = f"  {key}:\n" if section == "categories" else f"datasets:\n  {key}: {{}}\ncategories:\n"
    file = params(old, new)

    line = refusal(lambda: read_category("tiles", file))

    assert line.startswith(f"{file}: key ")
    assert f" of `{section}`: expected a text of letters, digits, _ and -" in line


def test_a_name_in_any_script_and_of_digits_in_quotes_is_a_key(params):
    assert read_category("tiles", params("  cells:\n", "  Zähler-7:\n"))
    assert read_category("tiles", params("  cells:\n", "  '7':\n"))


@pytest.mark.parametrize("name", ["-x", ".", "..", ".x", "a b", "a/b"])
def test_a_category_is_no_option_and_no_folder_above(params, name):
    assert "`categories.cells.category`" in refusal(lambda: read_category("cells", params("mono", f"'{name}'")))


def test_two_categories_cannot_be_one_registered_model(params):
    both = "  cells:\n    dataset: a-b\n    category: c\n  parts:\n    dataset: a\n    category: b-c\n"
    file = params("  cells:\n    dataset: elpv\n    category: mono\n", both)

    line = refusal(lambda: read_category("tiles", file))

    assert line == (
        f"{file}: `categories.cells` and `categories.parts` are a-b/c and a/b-c, which would be one registered model; "
        "rename a data set"
    )


def test_two_keys_cannot_be_one_category(params):
    file = params("dataset: magnetic_tile\n    category: all", "dataset: elpv\n    category: mono")

    assert refusal(lambda: read_category("tiles", file)) == (
        f"{file}: `categories.cells` and `categories.tiles` are both elpv/mono, and would write the same files; "
        "keep one of them"
    )


@pytest.mark.parametrize("size", [(7, 64), (64, 7)])
def test_images_too_small_for_any_network_are_refused(size):
    with pytest.raises(ValueError, match="greater than or equal to 8"):
        ImageConfig(size=size)
