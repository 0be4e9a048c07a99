"""What manifest and validation cost, against reading, hashing and copying the same files.

`.venv/bin/python tests/benchmarks/data_cost.py jpg --megapixels 0 1000`, from the root of the repository.

Files are photographs of 1 megapixel, smooth shapes under the grain of a sensor, greys as PNG and colours as JPEG. There
are `--pictures` of them; each file has one of these, and a comment of its own so that no two are alike. A pixel takes
0.3 bytes as JPEG and 0.7 as PNG, somewhat less than in real data sets. Nothing is started fresh for a round: all files
have been read before, and imports are done. Writing is part of the stage, so the second line has it too.
"""

import argparse
import hashlib
import logging
import os
import resource
import shutil
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from stages.common.dataset import DatasetConfig
from stages.download.stage import DownloadConfig, download
from stages.params import read_section
from stages.paths import CategoryPaths

SIDE = 1000


def encoded(kind, seed):
    """The bytes before and behind the place for a comment."""
    rng = np.random.default_rng(seed)
    channels = (1,) if kind == "png" else (3,)
    shapes = rng.integers(30, 226, (12, 12, *channels), dtype=np.uint8).squeeze()
    smooth = np.asarray(Image.fromarray(shapes).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    image = np.clip(smooth + rng.normal(0, 9, smooth.shape), 0, 255).astype(np.uint8)
    with tempfile.NamedTemporaryFile(suffix=f".{kind}") as file:
        Image.fromarray(image).save(file.name, quality=90)
        data = Path(file.name).read_bytes()
    place = 33 if kind == "png" else 2  # behind the header chunk; behind the start of image
    return data[:place], data[place:]


def comment(kind, text):
    if kind == "jpg":
        return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    chunk = b"tEXtComment\0" + text
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


def make(folder, kind, images, pictures):
    pool = [encoded(kind, seed) for seed in range(pictures)]
    for i in range(images):
        home = folder / "part" / ("test/dent" if i % 50 == 0 else "test/good" if i % 10 == 0 else "train/good")
        home.mkdir(parents=True, exist_ok=True)
        head, tail = pool[i % pictures]
        (home / f"{i:05d}.{kind}").write_bytes(head + comment(kind, f"{i}".encode()) + tail)


def seconds(work):
    """Wall and CPU seconds, the latter of all threads."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def read_and_hash(folder, copy_to=None):
    for path in sorted(folder.rglob("*.*")):
        content = path.read_bytes()
        hashlib.sha256(content).hexdigest()
        if copy_to:
            copy = copy_to / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kind", choices=["png", "jpg"])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1000])
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    config = read_section(DownloadConfig, "download")
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "source")
        make(source, asked.kind, asked.images, asked.pictures)
        entry = {"layout": "folder", "mirror_names": ["x"], "terms": None, "licence": "CC0", "licence_url": ""}
        rest = {"sources": [{"url": str(source), "sha256": None}], "non_commercial": False, "foreground": "full"}
        dataset = DatasetConfig.model_validate(entry | rest, strict=False)
        os.chdir(name)
        read_and_hash(source)
        rounds = {
            "read and hash, one thread": lambda: read_and_hash(source),
            "read, hash and copy, one thread": lambda: read_and_hash(source, Path("copy")),
        }
        for bound in asked.megapixels:
            bounded = config.model_copy(update={"max_megapixels_decoded": bound})
            paths = CategoryPaths("bench", "part")
            rounds[f"manifest and validation, {bound:g} megapixels decoded"] = lambda bounded=bounded, paths=paths: (
                download(dataset, bounded, paths=paths, mirror=None, cache=Path("cache"))
            )
        first = None
        for title, work in rounds.items():
            shutil.rmtree("data", ignore_errors=True)
            os.sync()
            took = seconds(work)
            first = first or took
            told = [f"{value:6.1f} s ({value / base:.1f}x)" for value, base in zip(took, first, strict=True)]
            sys.stdout.write(f"{asked.images} {asked.kind}  {title}: wall {told[0]}, CPU {told[1]}\n")


if __name__ == "__main__":
    main()
