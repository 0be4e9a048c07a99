"""Copy the images of a listing into a folder and look at each file once."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from diffusionad.data.facts import ImageFacts, MaskFacts, image_facts, mask_facts
from diffusionad.data.fingerprint import near_pairs
from diffusionad.data.listing import Item, Listing
from diffusionad.data.outlines import draw_outlines

T = TypeVar("T")
R = TypeVar("R")


class Survey(NamedTuple):
    """What the files are."""

    images: dict[str, ImageFacts]
    masks: dict[str, MaskFacts]


def copy(listing: Listing, folder: Path) -> None:
    """Copy the files that exist; a missing one is left for the survey to find.

    Raises:
        ValueError: If a file may not be read.
        OSError: If the disk is full.
    """
    drawn = {item.mask for item in listing.items if item.outline}
    names = [name for item in listing.items for name in (item.path, item.mask) if name and name not in drawn]
    for name in tqdm(names, desc="copy", disable=None):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(listing.home / name, target)
        except FileNotFoundError:
            continue
        except PermissionError:
            raise ValueError(f"{listing.home / name}: may not be read; give yourself the permission") from None


def survey(items: Sequence[Item], folder: Path, max_looked_at: int) -> Survey:
    """Describe every image and mask below a folder, and draw the masks that are given as outlines.

    Args:
        items: What to look at.
        folder: Where it is.
        max_looked_at: Of so many images the pixels are looked at too, which takes ten times as long as the header; of
            more images, so many are chosen by a hash of their path.
    """
    ranked = sorted((item.path for item in items), key=lambda path: hashlib.sha256(path.encode()).digest())
    chosen = set(ranked[:max_looked_at])
    facts = _each("look at images", lambda item: image_facts(folder / item.path, pixels=item.path in chosen), items)
    for item, fact in zip(items, facts, strict=True):
        if item.outline and item.mask and not fact.fault:
            (folder / item.mask).parent.mkdir(parents=True, exist_ok=True)
            draw_outlines(item.outline, (fact.height, fact.width)).save(folder / item.mask, format="PNG")
    masks = [item.mask for item in items if item.mask]
    mask_list = _each("look at masks", lambda mask: mask_facts(folder / mask), masks)
    paths = (item.path for item in items)
    return Survey(dict(zip(paths, facts, strict=True)), dict(zip(masks, mask_list, strict=True)))


def lookalikes(images: dict[str, ImageFacts], max_bits: int) -> list[tuple[str, str, int]]:
    """Return pairs of paths that show nearly the same, and in how many bits of 255 their fingerprints differ."""
    known = [path for path, fact in images.items() if fact.fingerprint]
    pairs = near_pairs([images[path].fingerprint or "" for path in known], max_bits)
    return [(known[i], known[j], bits) for i, j, bits in pairs]


def remove_rest(folder: Path, keep: Iterable[str | None]) -> None:
    """Remove the files that are not in `keep`, and folders that are then empty."""
    kept = {folder / name for name in keep if name}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()


def _each(title: str, look: Callable[[T], R], things: Sequence[T]) -> list[R]:
    # Decoding and hashing run outside of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tqdm(pool.map(look, things), desc=title, total=len(things), disable=None))
