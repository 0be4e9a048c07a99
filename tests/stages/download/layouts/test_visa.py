import pytest

from stages.download.layouts import visa
from toys.pictures import mark, paint

TABLE = """\
object,split,label,image,mask
candle,train,normal,candle/Data/Images/Normal/0000.JPG,
candle,test,normal,candle/Data/Images/Normal/0001.JPG,
candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png
fryum,train,normal,fryum/Data/Images/Normal/000.JPG,
"""


@pytest.fixture
def native(tmp_path):
    """A miniature of VisA as downloaded: upper-case endings, masks of class numbers."""
    for i, name in enumerate(["Normal/0000", "Normal/0001", "Anomaly/000"]):
        paint(tmp_path / f"candle/Data/Images/{name}.JPG", seed=i)
    mark(tmp_path / "candle/Data/Masks/Anomaly/000.png", value=1)
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text(TABLE)
    return tmp_path


def test_visa_is_read_as_downloaded(native, rows):
    listing = visa.find(native, "candle")

    assert listing.home == native / "candle"
    assert rows(listing) == [
        ("Data/Images/Anomaly/000.JPG", "test", 1, "anomaly", "Data/Masks/Anomaly/000.png"),
        ("Data/Images/Normal/0000.JPG", "train", 0, "good", None),
        ("Data/Images/Normal/0001.JPG", "test", 0, "good", None),
    ]


def test_a_mask_that_the_table_does_not_name_is_told(native):
    mark(native / "candle/Data/Masks/Anomaly/001.png")

    assert visa.find(native, "candle").orphans == ("Data/Masks/Anomaly/001.png",)


def test_an_unknown_object_is_told_with_those_that_are(native):
    with pytest.raises(ValueError, match="no category `cookie`; it holds candle, fryum"):
        visa.find(native, "cookie")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("candle,train,odd,candle/a.JPG,", "line 2: expected split train, val or test, label normal or anomaly"),
        ("candle,fit,normal,candle/a.JPG,", "line 2"),
        ("candle,train,normal,fryum/a.JPG,", "line 2"),
    ],
)
def test_a_line_that_cannot_be_read_is_told(native, line, reason):
    (native / "split_csv/1cls.csv").write_text(f"object,split,label,image,mask\n{line}\n")

    with pytest.raises(ValueError, match=reason):
        visa.find(native, "candle")


def test_a_missing_table_or_column_is_told(native, tmp_path):
    (native / "split_csv/1cls.csv").write_text("object,split\n")
    with pytest.raises(ValueError, match="no label, image, mask"):
        visa.find(native, "candle")
    (native / "split_csv/1cls.csv").unlink()
    with pytest.raises(ValueError, match=r"no split_csv/1cls.csv"):
        visa.find(native, "candle")
