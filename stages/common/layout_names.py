"""Names of layouts in params.yaml; kept apart from the modules that read layouts, which only `download` runs."""

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
