from pathlib import Path

import pytest

from pipelines.catalogue import find_categories


@pytest.fixture
def params(tmp_path):
    names = (("a", "bolt"), ("a", "nut"), ("b", "nut"))
    lines = [f"  {d}-{c}:\n    dataset: {d}\n    category: {c}\n" for d, c in names]
    (tmp_path / "params.yaml").write_text("categories:\n" + "".join(lines))
    return tmp_path / "params.yaml"


@pytest.mark.parametrize(
    ("dataset", "category", "expected"),
    [
        (None, None, ["a-bolt", "a-nut", "b-nut"]),
        ("a", None, ["a-bolt", "a-nut"]),
        ("a", "nut", ["a-nut"]),
    ],
)
def test_categories_are_found_by_data_set_and_name(params, dataset, category, expected):
    assert [entry.model_name for entry in find_categories(dataset, category, params)] == expected


def test_an_unknown_one_is_refused_with_those_there_are(params):
    with pytest.raises(ValueError, match="no category b/bolt; it holds a/bolt, a/nut, b/nut"):
        find_categories("b", "bolt", params)


@pytest.mark.parametrize("content", [None, "", "other: 1\n"])
def test_params_without_categories_are_refused(tmp_path, content):
    path = Path(tmp_path, "params.yaml")
    if content is not None:
        path.write_text(content)

    with pytest.raises(ValueError, match="no section `categories`"):
        find_categories("a", None, path)
