"""Procedural, tileable textures and the atlas the ray caster samples them from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SIZE = 128
"""Texels along one side of every texture; a power of two."""


def spectral_noise(
    rng: np.random.Generator, size: int, slope: float, stretch: tuple[float, float] = (1.0, 1.0)
):
    """(size, size) tileable noise in 0..1 with a 1/f^slope spectrum (photographs: 1 to 1.5)."""
    fy, fx = np.meshgrid(*2 * [np.fft.fftfreq(size) * size], indexing="ij")
    frequency = np.hypot(fx * stretch[0], fy * stretch[1])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(rng.standard_normal((size, size))) / frequency**slope
    noise = np.fft.ifft2(spectrum).real
    low, high = np.percentile(noise, [1, 99])
    return np.clip((noise - low) / (high - low), 0, 1)


def color(rng: np.random.Generator, saturation: float = 0.35) -> np.ndarray:
    """(3,) linear albedo, mostly muted like painted and wooden things indoors."""
    value = rng.uniform(0.12, 0.9)
    hue = rng.uniform(-1, 1, 3) * saturation * rng.uniform(0, 1)
    return np.clip(value * (1 + hue), 0.03, 0.95)


def gradient(rng: np.random.Generator, amount: np.ndarray, contrast: float = 1.0) -> np.ndarray:
    """Color an (H, W) pattern in 0..1 with two random colors."""
    a, b = color(rng), color(rng)
    b = a + (b - a) * contrast
    return a + amount[..., None] * (b - a)


def noise(rng: np.random.Generator) -> np.ndarray:
    """A soft pattern in two colors."""
    return gradient(rng, spectral_noise(rng, SIZE, rng.uniform(0.7, 2.0)))


def photograph(rng: np.random.Generator) -> np.ndarray:
    """Three correlated channels with the spectrum of natural images and a few hard edges."""
    channels = [spectral_noise(rng, SIZE, rng.uniform(1.0, 1.5)) for _ in range(4)]
    shared = rng.uniform(0.4, 0.9)
    image = np.stack([shared * channels[3] + (1 - shared) * c for c in channels[:3]], axis=-1)
    for _ in range(rng.integers(2, 7)):
        inside = spectral_noise(rng, SIZE, 2.2) > rng.uniform(0.6, 0.85)
        image[inside] = image[inside] * rng.uniform(0.2, 0.7) + color(rng, 1.0) * 0.4
    return image


def plaster(rng: np.random.Generator) -> np.ndarray:
    """Nearly one color, with little contrast."""
    return gradient(rng, spectral_noise(rng, SIZE, rng.uniform(0.3, 1.2)), rng.uniform(0.05, 0.25))


def wood(rng: np.random.Generator) -> np.ndarray:
    """Planks with grain and joints."""
    grain = spectral_noise(rng, SIZE, 1.2, (rng.uniform(4, 10), 0.7))
    planks = rng.choice([2, 4, 8])
    step = np.arange(SIZE) * planks // SIZE
    tone = rng.uniform(0, 0.5, planks)[step][:, None]
    joint = (np.arange(SIZE) * planks % SIZE < planks)[:, None]
    image = gradient(rng, np.clip(0.6 * grain + tone, 0, 1), 0.6)
    return image * np.where(joint, 0.4, 1.0)[..., None]


def checker(rng: np.random.Generator) -> np.ndarray:
    """A checkerboard, a little uneven."""
    cells = rng.choice([2, 4, 8])
    index = np.arange(SIZE) * cells // SIZE
    board = (index[:, None] + index) % 2
    return gradient(rng, np.clip(board + 0.2 * spectral_noise(rng, SIZE, 1.0), 0, 1))


def bricks(rng: np.random.Generator) -> np.ndarray:
    """Rows of bricks or tiles with mortar, each with its own tone."""
    rows, columns = int(rng.choice([4, 8, 16])), int(rng.choice([2, 4, 8]))
    y, x = np.meshgrid(*2 * [np.arange(SIZE) / SIZE], indexing="ij")
    row = np.floor(y * rows).astype(int)
    shifted = x * columns + (row % 2) * rng.choice([0.0, 0.5])
    column = np.floor(shifted).astype(int) % columns
    gap = rng.uniform(0.03, 0.1)
    mortar = (np.minimum(y * rows % 1, shifted % 1 * rows / columns) < gap)[..., None]
    tone = rng.uniform(0, rng.uniform(0.1, 1.0), (rows, columns))[row, column]
    tone = np.clip(tone + 0.25 * spectral_noise(rng, SIZE, 0.8), 0, 1)
    return np.where(mortar, color(rng), gradient(rng, tone))


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Stripes of different widths and colors."""
    edges = np.sort(rng.choice(SIZE, rng.integers(3, 16), replace=False))
    palette = np.stack([color(rng) for _ in range(len(edges) + 1)])
    rows = palette[np.searchsorted(edges, np.arange(SIZE)) % len(edges)]
    image = np.repeat(rows[:, None], SIZE, axis=1)
    return image * (0.8 + 0.2 * spectral_noise(rng, SIZE, 0.8))[..., None]


def poster(rng: np.random.Generator) -> np.ndarray:
    """Blocks, discs and lines of writing on paper: a picture, a book cover, a screen."""
    image = np.tile(color(rng, 0.8), (SIZE, SIZE, 1))
    y, x = np.mgrid[:SIZE, :SIZE]
    for _ in range(rng.integers(3, 10)):
        cx, cy = rng.uniform(0, SIZE, 2)
        w, h = rng.uniform(5, SIZE / 3, 2)
        if rng.random() < 0.6:
            inside = (abs(x - cx) < w) & (abs(y - cy) < h)
        else:
            inside = np.hypot(x - cx, y - cy) < w
        image[inside] = color(rng, 0.9)
    for top in range(int(rng.integers(8, 60)), int(rng.integers(60, 120)), 6):
        line = rng.random(SIZE // 4).repeat(4) < 0.7
        line[: rng.integers(4, 30)] = line[-int(rng.integers(4, 30)) :] = False
        image[top : top + 3, line] *= 0.25
    return image


KINDS = (noise, photograph, plaster, wood, checker, bricks, stripes, poster)
"""Every generator: rng -> (SIZE, SIZE, 3) linear albedo in 0..1."""


@dataclass(frozen=True)
class Atlas:
    """Textures with their mip pyramids, flat in one array.

    texels: (n, 3) uint8, square root of the linear albedo * 255; textures one after the other,
    each as levels of SIZE, SIZE/2, ... 1 texels a side.
    """

    texels: torch.Tensor
    count: int

    @classmethod
    def from_images(cls, images: list[np.ndarray]) -> Atlas:
        """Build from (SIZE, SIZE, 3) arrays of linear albedo in 0..1."""
        pyramids = [np.concatenate(_pyramid(image)) for image in images]
        albedo = np.clip(np.concatenate(pyramids), 0, 1)
        texels = np.round(np.sqrt(albedo) * 255).astype(np.uint8)
        return cls(torch.from_numpy(texels), len(pyramids))

    @classmethod
    def procedural(cls, seed: int, count: int) -> Atlas:
        """`count` textures, the kinds in turn."""
        rng = np.random.default_rng(seed)
        return cls.from_images([KINDS[i % len(KINDS)](rng) for i in range(count)])

    def to(self, device: torch.device | str) -> Atlas:
        """The same textures on another device."""
        return Atlas(self.texels.to(device), self.count)

    def sample(self, texture: torch.Tensor, uv: torch.Tensor, level: torch.Tensor):
        """Bilinear, repeating lookup in the nearest mip level.

        texture: (...) long. uv: (..., 2), one repeat per unit. level: (...) float, 0 finest.
        Returns (..., 3) linear albedo.
        """
        last = SIZE.bit_length() - 1
        level = level.clamp(0, last).round().long()
        side = SIZE >> level
        # Texels of the finer levels of one pyramid: SIZE^2 (1 - 4^-level) 4/3.
        start = texture * LEVEL_TEXELS + (SIZE * SIZE - side * side) * 4 // 3
        position = uv * side[..., None] - 0.5
        corner = position.floor()
        fraction = position - corner
        corner = corner.long()
        u0, v0 = corner[..., 0] % side, corner[..., 1] % side
        u1, v1 = (u0 + 1) % side, (v0 + 1) % side
        fu, fv = fraction[..., :1], fraction[..., 1:]
        upper = torch.lerp(self._fetch(start, side, u0, v0), self._fetch(start, side, u1, v0), fu)
        lower = torch.lerp(self._fetch(start, side, u0, v1), self._fetch(start, side, u1, v1), fu)
        return (torch.lerp(upper, lower, fv) / 255).square()

    def _fetch(self, start: torch.Tensor, side: torch.Tensor, u: torch.Tensor, v: torch.Tensor):
        return self.texels[start + v * side + u].float()


LEVEL_TEXELS = (4 * SIZE * SIZE - 1) // 3
"""Texels of one texture with all its mip levels."""


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    levels = [image.reshape(-1, 3)]
    while len(image) > 1:
        image = (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4
        levels.append(image.reshape(-1, 3))
    return levels
