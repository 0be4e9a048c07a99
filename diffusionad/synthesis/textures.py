"""A bank of foreign textures: photographs from a folder, or procedural textures drawn from a seed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from diffusionad.data.ranges import evenly_spaced
from diffusionad.section import Section
from diffusionad.synthesis.procedural import draw_texture


class TexturesConfig(Section):
    """Part `textures` of the synthesis settings."""

    folder: str | None = Field(
        description="folder with the layout of DTD, images/CLASS/*.jpg; null: drawn from the seed"
    )
    count: int = Field(ge=1, description="largest number of textures held in memory, H x W x 3 bytes each")
    seed: int = Field(ge=0, description="seed of the drawn textures")


class Textures:
    """Textures of one size, read once and held as bytes."""

    def __init__(self, config: TexturesConfig, size: tuple[int, int]) -> None:
        """Read or draw the bank.

        Args:
            config: Source and number. From a folder with more images, evenly spaced ones are taken.
            size: Height and width in pixels.

        Raises:
            ValueError: If the folder holds no image in that layout, or one cannot be read.
        """
        self.size = size
        if config.folder is None:
            drawn = (draw_texture(np.random.default_rng([config.seed, i]), size) for i in range(config.count))
            self._bank = [np.round(texture * 255).astype(np.uint8) for texture in drawn]
        else:
            self._bank = [_read(path, size) for path in _pick(Path(config.folder), config.count)]

    def __len__(self) -> int:
        return len(self._bank)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw a texture, mirrored or not in each direction.

        Returns:
            float32 in [0, 1], shape (H, W, 3).
        """
        texture = self._bank[rng.integers(len(self._bank))]
        down, right = rng.choice([-1, 1], size=2)
        return texture[::down, ::right].astype(np.float32) / np.float32(255)


def _pick(folder: Path, count: int) -> list[Path]:
    files = sorted(folder.glob("images/*/*.jpg"))
    if not files:
        raise ValueError(f"{folder}: no texture; expected images/CLASS/*.jpg below it, as the DTD archive has")
    return [files[i] for i in evenly_spaced(len(files), count)]


def _read(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((size[1], size[0]), Image.Resampling.BOX))
    except OSError as error:
        raise ValueError(f"{path}: not a readable image ({error}); remove it or load it again") from error
