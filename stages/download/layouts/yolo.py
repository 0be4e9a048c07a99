"""YOLO exports: images, and a text of the same name for each one with objects, in images/ and labels/ or side by side.

A line is a class and the corners of a polygon, or the centre and the size of a box, as shares of the sides. An image
without lines is normal. The split of an export is not used, since its training part holds defects: a new one is drawn.
"""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diffusionad.data.decode import open_image, read_bytes, upright_size
from stages.download.layouts.listing import WHOLE, Item, Listing, by_path, files_below, folder_names, is_picture
from stages.download.layouts.outlines import Polygon, box, checked

SETTINGS = ("data.yaml", "dataset.yaml")
NO_LABELS = ("classes.txt", "readme.txt", "readme.dataset.txt", "readme.roboflow.txt", "train.txt", "val.txt")
"""Texts that are no annotations, in small letters."""
BOX = 4


def find(root: Path, category: str) -> Listing:
    """List the images of a category, or all images for category `all`.

    Raises:
        ValueError: If there is no label, or one cannot be read, or belongs to no image.
    """
    home = root if category == WHOLE and not (root / category).is_dir() else root / category
    files = files_below(home)
    stems = {path.stem for path in files if is_picture(path)}
    labels = [path for path in files if path.suffix.lower() == ".txt"]
    texts = {path for path in labels if path.name.lower() not in NO_LABELS or path.stem in stems}
    if not texts:
        raise ValueError(f"{root}: no category `{category}` (expected images and labels/*.txt below {home})")
    names = _names(home, files)
    items, used = [], set()
    for path in files:
        if is_picture(path):
            label = next((place for place in _places(home, path) if place in texts), None)
            used.add(label)
            items.append(_item(home, path, _read(label, path, names) if label else []))
    orphans = tuple(sorted(path.relative_to(home).as_posix() for path in texts - used))
    return Listing(home, tuple(sorted(items, key=by_path)), {}, orphans)


def _places(home: Path, image: Path) -> list[Path]:
    """Where the label of an image may be: beside it, or in the folder `labels` that stands for its last `images`."""
    parts = list(image.relative_to(home).with_suffix(".txt").parts)
    places = [home.joinpath(*parts)]
    for place in reversed(range(len(parts) - 1)):
        if parts[place].lower() == "images":
            inner = folder_names(home.joinpath(*parts[:place]))
            labels = [name for name in inner if name.lower() == "labels"]
            places += [home.joinpath(*parts[:place], name, *parts[place + 1 :]) for name in labels]
            break
    return places


def _names(home: Path, files: list[Path]) -> dict[int, str]:
    for path in files:
        if path.parent == home and path.name.lower() in SETTINGS:
            try:
                names = (YAML(typ="safe").load(path.read_text(encoding="utf-8-sig")) or {}).get("names")
            except (YAMLError, ValueError, AttributeError) as error:
                raise ValueError(f"{path}: not settings of YOLO: {' '.join(str(error).split())[:200]}") from None
            if not isinstance(names, list | dict | None):
                raise ValueError(f"{path}: expected a list of classes below `names`, got {names!r}")
            classes = names if isinstance(names, dict) else dict(enumerate(names or []))
            if odd := [number for number in classes if not str(number).isdecimal()]:
                raise ValueError(f"{path}: expected numbers of classes below `names`, got {odd[0]!r}")
            return {int(number): str(name) for number, name in classes.items()}
    return {}


def _read(label: Path, image: Path, names: dict[int, str]) -> list[tuple[str, Polygon]]:
    lines = [(n, line.split()) for n, line in enumerate(_lines(label), 1) if line.strip()]
    if not lines:
        return []
    height, width = upright_size(open_image(read_bytes(image), str(image)))
    shapes = []
    for number, (kind, *cells) in lines:
        try:
            values = [float(cell) for cell in cells]
            shape = _shape(values, height, width)
            name = names[int(kind)] if names else "anomaly"
        except (ValueError, KeyError) as error:
            raise ValueError(f"{label}, line {number}: expected a class and shares of the sides: {error!r}") from None
        shapes.append((name, shape))
    return shapes


def _lines(label: Path) -> list[str]:
    try:
        return label.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{label}: not a text in UTF-8") from None


def _shape(values: list[float], height: int, width: int) -> Polygon:
    if not all(-0.01 <= value <= 1.01 for value in values):  # noqa: PLR2004  # rounding
        raise ValueError("a share outside of 0 to 1")
    if len(values) == BOX:
        x, y, w, h = values
        if not (w > 0 and h > 0):
            raise ValueError("a box without area")
        return box((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    corners = [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True)]
    return Polygon(checked(corners, 3))


def _item(home: Path, path: Path, shapes: list[tuple[str, Polygon]]) -> Item:
    name = path.relative_to(home).as_posix()
    return Item(
        path=name,
        split=None,
        label=int(bool(shapes)),
        defect="+".join(sorted({defect for defect, _ in shapes})) or "good",
        mask=f"masks/{Path(name).with_suffix('').as_posix()}.png" if shapes else None,
        group=name,
        outline=tuple(shape for _, shape in shapes),
    )
