"""Every photograph below a category is used, left out for a stated reason, or an error: for every layout."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages.common.folders import walk
from stages.download.layouts import choice as layouts
from stages.download.layouts.listing import is_picture

NAMES = st.sampled_from(["a", "b", "0", "1", "0_mask", "a_label", "exp1_num_7", "exp1_num_900", "Part0", "Part0_label"])
ENDINGS = st.sampled_from([".png", ".jpg", ".tif", ".webp", ".PNG", ".txt", ".bmp"])
WORDS = (
    "good OK bad dent images labels masks ground_truth .ipynb_checkpoints @eaDir Imgs JPEGImages Annotations Label "
    "Data SegmentationClass Images Normal Masks MT_Free kos01 train Train test Test val test_private"
)
FOLDERS = st.sampled_from(["", *WORDS.split()])
FILES = st.lists(st.builds("/".join, st.tuples(FOLDERS, FOLDERS, st.builds(str.__add__, NAMES, ENDINGS))), max_size=14)
ALWAYS = {
    "folder": ["train/good/z.png"],
    "anomalib_folder": ["good/z.png"],
    "dagm": ["Train/9.PNG"],
    "magnetic_tile": ["MT_Free/Imgs/exp1_num_5.jpg"],
    "ksdd": ["kos99/Part9.jpg", "kos99/Part9_label.bmp"],
    "labelme": ["z.png"],
    "coco": ["z.png"],
    "voc": ["JPEGImages/z.jpg"],
    "csv": ["z.png"],
    "visa": ["magnetic/Data/Images/Normal/z.JPG"],
    "elpv": ["images/z.png"],
    "dtd": ["images/z.jpg"],
    "yolo": ["images/z.png"],
}
TABLES = {
    "labelme": ("z.json", json.dumps({"shapes": []})),
    "coco": ("x.json", json.dumps({"images": [{"id": 1, "file_name": "z.png"}], "annotations": []})),
    "voc": ("Annotations/z.xml", "<annotation/>"),
    "csv": ("all.csv", "path,label\nz.png,0\n"),
    "visa": ("split_csv/1cls.csv", "object,split,label,image,mask\nall,train,normal,all/z.png,\n"),
    "elpv": ("labels.csv", "images/z.png 0.0 all\n"),
    "yolo": ("labels/z.txt", ""),
}
CATEGORIES = {"magnetic_tile": "magnetic_tile", "ksdd": "commutator", "dtd": "textures"}
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""A black picture of one pixel."""


def pictures(listing):
    found = ((path.relative_to(listing.home).as_posix(), path) for path, _ in walk(listing.home))
    return {name for name, path in found if is_picture(path)}


@pytest.mark.parametrize("layout", layouts.FINDERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=FILES)
def test_photographs_found_are_rows_and_masks_and_those_left_out(tmp_path_factory, layout, names):
    root = tmp_path_factory.mktemp("drawn")
    for name in {*names, *ALWAYS[layout]}:
        path = root / name.strip("/").replace("//", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PIXEL)
    if layout in TABLES:
        path = root / TABLES[layout][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TABLES[layout][1])

    try:
        listing = layouts.find(layout, root, CATEGORIES.get(layout, "all"))
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017  # an error accounts for everything
        return

    rows = {item.path for item in listing.items}
    left_out = [name for names in listing.left_out.values() for name in names]
    masks = {mask for item in listing.items for mask in (item.mask, *item.parts)} | {*listing.orphans, *listing.seen}
    assert len(left_out) == len(set(left_out))
    assert not rows & set(left_out)
    assert pictures(listing) == (rows | set(left_out) | masks) & pictures(listing)


def test_photographs_that_an_export_does_not_list_are_left_out_by_name(tmp_path):
    for name in ("a.png", "b.png", ".ipynb_checkpoints/a-checkpoint.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(PIXEL)
    table = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": []}
    (tmp_path / "x.json").write_text(json.dumps(table))

    assert layouts.find("coco", tmp_path, "all").left_out == {
        "hidden, or left behind by a file manager or a notebook": (".ipynb_checkpoints/a-checkpoint.png",),
        "not listed in an annotation file": ("b.png",),
    }
