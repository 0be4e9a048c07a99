"""DTD, a source of foreign textures: images/<class>/<class>_NNNN.jpg. Cimpoi et al., CVPR 2014; research use.

All images are for training and normal. The synthesis of anomalies reads the same folder `images`.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, files_below


def find(root: Path, category: str) -> Listing:
    """List the textures; the only category is `textures`.

    Raises:
        ValueError: If there is no folder of images, or another category is asked for.
    """
    if not (root / "images").is_dir() or category != "textures":
        raise ValueError(f"{root}: expected images/<class>/*.jpg of the one category `textures`")
    names = [path.relative_to(root).as_posix() for path in files_below(root / "images")]
    return Listing(root, tuple(Item(name, "train", 0, "good", None, group=name) for name in names), {})
