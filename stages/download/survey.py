"""Copy the files of a listing into a folder, reading each once, and collect facts about them."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from diffusionad.data.decode import read_bytes
from diffusionad.data.images import read_mask
from stages.download.facts import ImageFacts, MaskFacts, image_facts, mask_facts, pixel_facts
from stages.download.fingerprint import near_pairs
from stages.download.frames import draw, frame_of
from stages.download.layouts.listing import Item, Listing

T = TypeVar("T")
R = TypeVar("R")


class Survey(NamedTuple):
    """Facts about the files of a listing, by path."""

    images: dict[str, ImageFacts]
    masks: dict[str, MaskFacts]


def survey(listing: Listing, folder: Path, max_megapixels: float, line_width: float) -> Survey:
    """Copy the images and masks of a listing into a folder, draw masks given as outlines, and describe all files.

    Args:
        listing: Images and masks to copy. A missing or unreadable file is recorded as the fault of its image or mask.
        folder: The target folder.
        max_megapixels: Limit of the images, taken together, whose pixels are decoded too, which takes twenty times as
            long as reading the header; beyond it, a hash of the path decides which images are decoded.
        line_width: Width of defects that are given as lines, px.

    Raises:
        OSError: If the disk is full.
    """
    paths = [item.path for item in listing.items]
    headers = _each("take images", lambda path: _take(listing.home, folder, path, image_facts, ImageFacts), paths)
    images = dict(zip(paths, headers, strict=True))
    chosen = _choose(images, max_megapixels)
    looks = _each("decode images", lambda path: pixel_facts(images[path], read_bytes(folder / path)), chosen)
    images |= zip(chosen, looks, strict=True)
    drawn = [item for item in listing.items if (item.outline or item.parts) and item.mask]
    troubles = _each("draw masks", lambda item: _draw(item, images[item.path], listing.home, folder, line_width), drawn)
    undrawn = {str(item.mask): trouble for item, trouble in zip(drawn, troubles, strict=True) if trouble}
    homes = {item.mask: listing.home for item in listing.items if item.mask}
    homes |= {item.mask: folder for item in drawn if item.mask}
    names = [name for name in homes if name not in undrawn]
    facts = _each("take masks", lambda mask: _take(homes[mask], folder, mask, mask_facts, MaskFacts), names)
    masks = {name: MaskFacts(fault=trouble) for name, trouble in undrawn.items()}
    return Survey(images, masks | dict(zip(names, facts, strict=True)))


def lookalikes(images: Mapping[str, ImageFacts], max_bits: int) -> list[tuple[str, str, int]]:
    """Return pairs of paths of images that look nearly the same, each with the number of different bits.

    Args:
        images: Facts by path; those without a fingerprint are passed over.
        max_bits: Largest number of different bits of two fingerprints, of 255.
    """
    known = [path for path, fact in images.items() if fact.fingerprint]
    pairs = near_pairs([images[path].fingerprint or "" for path in known], max_bits)
    return [(known[i], known[j], bits) for i, j, bits in pairs]


def remove_rest(folder: Path, keep: Iterable[str | None]) -> None:
    """Remove the files whose relative paths are not in `keep`, and folders that are then empty."""
    kept = {folder / name for name in keep if name}
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept:
            path.unlink()


def _take(home: Path, folder: Path, name: str, describe: Callable[[bytes], R], broken: Callable[..., R]) -> R:
    try:
        data = read_bytes(home / name)
    except ValueError as error:
        return broken(fault=str(error).removeprefix(f"{home / name}: "))
    if home != folder:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return describe(data)


def _choose(images: Mapping[str, ImageFacts], max_megapixels: float) -> list[str]:
    whole = [path for path, fact in images.items() if not fact.fault]
    left, chosen = max_megapixels * 1e6, []
    for path in sorted(whole, key=lambda path: hashlib.sha256(path.encode()).digest()):
        left -= images[path].width * images[path].height
        if left < 0:
            break
        chosen.append(path)
    return chosen


def _draw(item: Item, fact: ImageFacts, home: Path, folder: Path, line_width: float) -> str | None:
    """Draw the mask of an image, or join it from its parts; return why that is not possible."""
    try:
        if item.parts:
            mask = np.any([read_mask(home / part, None) for part in item.parts], axis=0)
        elif fact.fault:
            return "not drawn, since its image cannot be read"
        else:
            frame = frame_of(fact, item.stated, item.outline)
            mask = draw(item.outline, frame, (fact.height, fact.width), line_width)
    except ValueError as error:
        return str(error).removeprefix(f"{home}/")
    target = folder / str(item.mask)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).convert("L").save(target, format="PNG")
    return None


def _each(title: str, look: Callable[[T], R], things: Sequence[T]) -> list[R]:
    # Reading, hashing and decoding run outside of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(tqdm(pool.map(look, things), desc=title, total=len(things), disable=None))
