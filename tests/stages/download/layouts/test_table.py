import pytest

from stages.download.layouts import table

OURS = """\
path,label,mask,split,defect,group
img/a.png,0,,train,,tray1
img/b.png,good,,test,,tray2
img/c.png,1,masks/c.png,test,dent,tray2
"""
ANOMALIB = """\
image_path,label_index,mask_path,split
img/a.png,0,,train
img/b.png,0,,test
img/c.png,1,masks/c.png,test
"""


def write(tmp_path, text, name="nut.csv"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    return tmp_path


def test_a_table_of_ones_own_is_read(tmp_path, rows):
    listing = table.find(write(tmp_path, OURS), "nut")

    assert rows(listing) == [
        ("img/a.png", "train", 0, "good", None),
        ("img/b.png", "test", 0, "good", None),
        ("img/c.png", "test", 1, "dent", "masks/c.png"),
    ]
    assert [item.group for item in listing.items] == ["tray1", "tray2", "tray2"]


def test_the_table_of_anomalib_is_read_as_it_is(tmp_path, rows):
    assert rows(table.find(write(tmp_path, ANOMALIB, "nut/samples.csv"), "nut")) == [
        ("img/a.png", "train", 0, "good", None),
        ("img/b.png", "test", 0, "good", None),
        ("img/c.png", "test", 1, "anomaly", "masks/c.png"),
    ]


def test_without_a_split_it_is_to_be_drawn(tmp_path):
    assert table.find(write(tmp_path, "path,label\na.png,0\n"), "nut").items[0].split is None


def test_without_a_label_the_split_tells_as_in_anomalib(tmp_path):
    listing = table.find(write(tmp_path, "image_path,split\na.png,train\nb.png,test\n"), "nut")

    assert [item.label for item in listing.items] == [0, 1]


def test_checksums_of_the_table_are_kept(tmp_path):
    listing = table.find(write(tmp_path, f"path,label,sha256\na.png,0,{'A' * 64}\n"), "nut")

    assert listing.digests == {"a.png": "a" * 64}


def test_a_path_inside_the_folder_may_be_absolute(tmp_path):
    listing = table.find(write(tmp_path, f"path,label\n{tmp_path}/a.png,0\n"), "nut")

    assert listing.items[0].path == "a.png"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path,label\n/etc/passwd,0\n", "line 2: expected a path below"),
        ("path,label\na.png,0\n../a.png,0\n", "line 3: expected a path below"),
        ("path,label\n,0\n", "line 2: expected a path below"),
        ("path,label\na.png,2\n", r"line 2: expected label 0 \(normal\) or 1 \(anomalous\), got '2'"),
        ("path,label,split\na.png,0,fit\n", "line 2: expected split train, val or test, got 'fit'"),
        ("path,mask\na.png,\n", "expected the columns path, label and, if any, mask and split; got"),
        ("file,label\na.png,0\n", "expected the columns path"),
    ],
)
def test_a_row_that_cannot_be_read_is_told(tmp_path, text, reason):
    with pytest.raises(ValueError, match=reason):
        table.find(write(tmp_path, text), "nut")


def test_one_table_is_expected(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        table.find(tmp_path, "nut")
    write(tmp_path, OURS, "nut/a.csv")
    write(tmp_path, OURS, "nut/b.csv")
    with pytest.raises(ValueError, match=r"found a\.csv, b\.csv"):
        table.find(tmp_path, "nut")


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("utf-16-be", "\ufeff"), ("cp1252", "")]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_dialects_of_spreadsheets_are_read(tmp_path, rows, encoding, mark, delimiter):
    """Names of columns in any case and with blanks, trailing cells, empty lines, and a comma for a point."""
    label = "1,0" if delimiter != "," else "1.0"
    lines = [["Path ", " LABEL", "Defect", ""], ["ü.png", "0", "", ""], ["b.png", label, "dént", ""], ["", "", "", ""]]
    text = mark + "\r\n".join(map(delimiter.join, lines)) + "\r\n\r\n"
    (tmp_path / "nut.csv").write_bytes(text.encode(encoding))

    assert rows(table.find(tmp_path, "nut")) == [
        ("b.png", None, 1, "dént", None),
        ("ü.png", None, 0, "good", None),
    ]


@pytest.mark.parametrize("path", ["img\\a.png", "C:\\photos\\nut\\img\\a.png", "\\\\server\\share\\img\\a.png"])
def test_paths_of_windows_are_found(tmp_path, path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img/a.png").write_bytes(b"")

    assert table.find(write(tmp_path, f"path,label\n{path},0\n"), "nut").items[0].path == "img/a.png"


def test_a_path_of_another_machine_that_is_not_here_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"line 2: expected a path below .*, got 'C:/photos/a\.png'"):
        table.find(write(tmp_path, "path,label\nC:\\photos\\a.png,0\n"), "nut")


@pytest.mark.parametrize(
    ("word", "label"), [("i.O.", 0), ("OK", 0), ("pass", 0), ("n.i.O.", 1), ("NG", 1), ("fail", 1)]
)
def test_the_words_of_factories_are_labels(tmp_path, word, label):
    assert table.find(write(tmp_path, f"path,label\na.png,{word}\n"), "nut").items[0].label == label


def test_a_row_of_more_cells_than_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"line 2: 3 cells below 2 names; quote cells with commas"):
        table.find(write(tmp_path, "path,label\na,b.png,0\n"), "nut")


def test_the_line_that_names_the_delimiter_is_passed_over(tmp_path):
    listing = table.find(write(tmp_path, "sep=;\r\npath;split\r\na.png;Valid\r\n"), "nut")

    assert [(item.path, item.split, item.label) for item in listing.items] == [("a.png", "val", 0)]
