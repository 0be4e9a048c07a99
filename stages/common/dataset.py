"""One entry of section `datasets`: the sources, layout and licence of a data set."""

from typing import Literal

from pydantic import Field

from diffusionad.section import Section

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
    "yolo",
]
"""What a layout may be called; the modules that read them are apart, in stages.download.layouts."""


class Source(Section):
    """One place to fetch a data set from."""

    url: str = Field(
        pattern=r"^(https?://|s3://|file://|package:|[^:]+$)",
        description="https://, s3:// or file:// address or a path, of an archive or a folder; `package:NAME` for data "
        "inside an installed package; {category} stands for the category",
    )
    sha256: str | None = Field(
        pattern=r"^[0-9a-f]{64}$", description="checksum of the archive; null for a folder, or if none is published"
    )


class DatasetConfig(Section):
    """One entry of section `datasets`."""

    layout: Layout = Field(description="how the data set is laid out as downloaded")
    sources: tuple[Source, ...] = Field(description="tried in order, after the mirror")
    mirror_names: tuple[str, ...] = Field(min_length=1, description="names that the data set may have on a mirror")
    terms: str | None = Field(description="how to get the data if no source is public; shown when all have failed")
    licence: str = Field(min_length=1)
    licence_url: str
    non_commercial: bool = Field(description="whether the licence forbids commercial use, or grants none")
    foreground: Literal["auto", "full", "threshold", "grabcut", "median_background", "masks", "isnet"] = Field(
        description="method that separates the object from its background; full for textures"
    )
