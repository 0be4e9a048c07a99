"""What a layout may be called in params.yaml; apart from the modules that read them, which most stages never run."""

from typing import Literal

Layout = Literal[
    "anomalib_folder",
    "coco",
    "csv",
    "dagm",
    "dtd",
    "elpv",
    "folder",
    "ksdd",
    "labelme",
    "magnetic_tile",
    "visa",
    "voc",
]
