"""Read thousands of annotation files that something broke.

    PYTHONPATH=. .venv/bin/python tests/benchmarks/fuzz_readers.py

Law: a reader gives a listing that counts every photograph and keeps every annotation, or a ValueError of one line. The
same number of runs and the same seed make the same files.
"""

import argparse
import copy
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from PIL import Image

from stages.download.facts import ImageFacts
from stages.download.frames import draw, frame_of
from stages.download.layouts import choice as layouts
from stages.download.layouts.listing import Listing

ODD = [
    *(None, True, -1, 0, 1, 2**70, 1e300, float("nan")),
    *("", "1", "ü\\", "../../x", "a\0b", "x" * 5000),
    *([], [[]], {}, {"a": []}, [1, 2, 3]),
]
WORDS = ["nan", "1e400", "-7", "", "x", "\0", "y" * 300, "<", "]]>", "ü", "999999999999", "0"]
FILES = ("a.png", "b.png", "c.png")
PHOTOGRAPH = ImageFacts("", 20, 30)

COCO = {
    "images": [{"id": i, "file_name": name, "height": 20, "width": 30} for i, name in enumerate(FILES, 1)],
    "categories": [{"id": 7, "name": "dent"}],
    "annotations": [
        {"id": 1, "image_id": 2, "category_id": 7, "segmentation": [[2, 2, 9, 2, 9, 9]], "bbox": [2, 2, 7, 7]},
        {"id": 2, "image_id": 3, "category_id": 7, "segmentation": [], "bbox": [1, 1, 4, 4]},
        {"id": 3, "image_id": 3, "category_id": 7, "segmentation": {"size": [20, 30], "counts": [3, 4, 593]}},
    ],
}
LABELME = {
    "imageHeight": 20,
    "imageWidth": 30,
    "shapes": [
        {"label": "dent", "points": [[2, 2], [9, 2], [9, 9]], "shape_type": "polygon"},
        {"label": "dent", "points": [[2, 2], [9, 9]], "shape_type": "rectangle"},
        {"label": "crack", "points": [[2, 2], [9, 9]], "shape_type": "line"},
    ],
}
VOC = (
    "<annotation><size><width>30</width><height>20</height></size><object><name>dent</name><bndbox><xmin>2</xmin>"
    "<ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
)
TABLE = "path,label,mask,split,defect\na.png,0,,train,\nb.png,1,,test,dent\nc.png,0,,test,\n"
VISA = "object,split,label,image,mask\n" + "".join(
    f"all,{split},{label},all/{file},\n"
    for split, label, file in zip(("train", "test", "test"), ("normal", "anomaly", "normal"), FILES, strict=True)
)
YOLO = "0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.5 0.1 0.5 0.5\n"
KINDS = {
    "coco": ("x.json", COCO),
    "labelme": ("b.json", LABELME),
    "voc": ("b.xml", VOC),
    "csv": ("all.csv", TABLE),
    "visa": ("split_csv/1cls.csv", VISA),
    "yolo": ("b.txt", YOLO),
}


def mutated_tree(tree, rng):
    """Copy JSON with one to three values dropped, renamed, doubled or replaced."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 3)):
        node = tree
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = rng.choice(keys)
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.75:
                node = node[key]
                continue
            change = rng.randrange(5)
            if change == 0:
                del node[key]
            elif change == 1 and isinstance(node, dict):
                node[rng.choice(["id", "name", "x", "points", "size"])] = node.pop(key)
            elif change == 2 and isinstance(node, list):
                node.append(node[key])
            else:
                node[key] = copy.deepcopy(rng.choice(ODD))
            break
    return json.dumps(tree).encode()


def mutated_text(text, rng):
    """Copy a text with words replaced, lines dropped or doubled, cells swapped."""
    for _ in range(rng.randint(1, 3)):
        change = rng.randrange(4)
        at = rng.randrange(len(text) + 1)
        if change == 0:
            text = text[:at] + rng.choice(WORDS) + text[at + rng.randint(0, 6) :]
        elif change == 1:
            lines = text.splitlines(keepends=True) or [""]
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            text = "".join(lines)
        elif change == 2:
            text = text[:at] + text[at + rng.randint(1, 9) :]
        else:
            text = text.replace(rng.choice(["b.png", ",", "1", "2", "0", "test", "dent"]), rng.choice(WORDS), 1)
    return text.encode()


def damaged(data, rng):
    """Cut or recode a few files, as copies and editors do."""
    change = rng.randrange(20)
    if change == 0:
        return data[: rng.randrange(len(data) + 1)]
    if change == 1:
        return data.decode("utf-8", "replace").encode("utf-16")
    if change == 2:
        return b"\xef\xbb\xbf" + data
    if change == 3:
        at = rng.randrange(len(data) + 1)
        return data[:at] + bytes([rng.randrange(256)]) + data[at:]
    return data


def stated(layout, data):
    """Photographs that must not be normal, for an annotation file that says so plainly."""
    if layout != "coco":
        return set()
    table = json.loads(data)
    files = {image["id"]: image["file_name"] for image in table["images"]}
    return {files[annotation["image_id"]] for annotation in table["annotations"]}


def check(layout: str, home: Path, data: bytes) -> str:
    """Read one file; return what came of it.

    Raises:
        AssertionError: If the law does not hold; any other error is a fault of the reader.
    """
    name = KINDS[layout][0]
    (home / name).write_bytes(data)
    try:
        listing: Listing = layouts.find(layout, home, "all")
    except ValueError as error:
        return _told(error)
    rows = [item.path for item in listing.items]
    left_out = [path for paths in listing.left_out.values() for path in paths]
    below = "all/" if layout == "visa" else ""
    photographs = {f"{below}{file}" for file in FILES}
    masks = [item.mask for item in listing.items if item.mask]  # of a normal image: the contract refuses it
    accounted = {f"{below}{path}" for path in (*rows, *left_out, *masks)}
    assert photographs <= accounted, (data, accounted)
    for item in listing.items:
        if item.outline:
            assert item.label == 1
            try:
                draw(item.outline, frame_of(PHOTOGRAPH, item.stated, item.outline), (20, 30), 3)
            except ValueError as error:
                _told(error)
    try:
        marked = stated(layout, data)
    except (ValueError, KeyError, TypeError, RecursionError):
        marked = set()
    normal = {item.path for item in listing.items if item.label == 0}
    assert not marked & normal, (data, marked & normal)
    return "read"


def _told(error: ValueError) -> str:
    text = str(error)
    if not text or "\n" in text:
        raise AssertionError(text) from error
    return "refused"


def fuzz(layout: str, runs: int, seed: int) -> Counter[str]:
    """Check a reader with mutated files; count what came of them."""
    rng = random.Random(f"{layout} {seed}")  # noqa: S311  # the same files for the same seed
    name, whole = KINDS[layout]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        place = home / "all" if layout == "visa" else home
        for file in FILES:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (30, 20)).save(place / file)
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        if layout == "labelme":
            (home / "a.json").write_text('{"shapes": []}')
        if layout == "voc":
            (home / "a.xml").write_text("<annotation/>")
        for _ in range(runs):
            data = mutated_tree(whole, rng) if isinstance(whole, dict) else mutated_text(whole, rng)
            outcomes[check(layout, home, damaged(data, rng))] += 1
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for kind in KINDS:
        sys.stdout.write(f"{kind}: {dict(fuzz(kind, options.runs, options.seed))}\n")
