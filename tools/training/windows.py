"""Training windows: random scenes seen by a robot's camera, rendered in batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from da3_ros.synthetic import textures
from da3_ros.synthetic.ray_caster import develop, render
from da3_ros.synthetic.scene import SyntheticScene
from da3_ros.synthetic.scene_builder import join
from da3_ros.synthetic.textures import SIZE, Atlas
from tools.training import paths, scenes

SIZES = ((84, 112), (70, 112), (98, 98), (112, 84), (70, 126))
"""(height, width) of the pictures at training scale 1, all of about 40 to 50 patches."""

SIZE_ODDS = (0.55, 0.15, 0.1, 0.08, 0.12)

PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png",
    "rocket.jpg", "motorcycle_left.png", "coins.png", "page.png", "color.png",
)  # fmt: skip
"""Pictures that ship inside scikit-image, cut into textures."""


@dataclass(frozen=True)
class Windows:
    """B windows of V views.

    images: (B,V,H,W,3) uint8. depth: (B,V,H,W) float16 along z, m, inf where sky.
    T_world_cam: (B,V,4,4) float64, m. K: (B,V,3,3) float32 px.
    """

    images: torch.Tensor
    depth: torch.Tensor
    T_world_cam: torch.Tensor
    K: torch.Tensor

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index) -> Windows:
        return Windows(*(getattr(self, f.name)[index] for f in fields(self)))

    def to(self, device) -> Windows:
        return Windows(*(getattr(self, f.name).to(device) for f in fields(self)))

    @staticmethod
    def cat(parts) -> Windows:
        return Windows(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Windows)))

    def save(self, path: Path) -> None:
        """Written whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save({f.name: getattr(self, f.name) for f in fields(self)}, partial)
        partial.rename(path)

    @staticmethod
    def load(path: Path) -> Windows:
        return Windows(**torch.load(path, weights_only=True, mmap=True))


def training_atlas(rng: np.random.Generator, count: int) -> Atlas:
    """Procedural textures, a fifth of them cut from photographs."""
    makers = [
        photograph_cut if rng.random() < 0.2 else rng.choice(textures.KINDS) for _ in range(count)
    ]
    return Atlas.from_images([make(rng) for make in makers])


def photograph_cut(rng: np.random.Generator) -> np.ndarray:
    """A random cut of one of `PHOTOGRAPHS`, colors shifted."""
    import cv2
    import skimage

    path = Path(skimage.__file__).parent / "data" / str(rng.choice(PHOTOGRAPHS))
    image = cv2.imread(str(path))[..., ::-1].astype(np.float64) / 255
    side = int(rng.uniform(0.25, 1.0) * min(image.shape[:2]))
    y, x = (rng.integers(0, n - side + 1) for n in image.shape[:2])
    cut = cv2.resize(image[y : y + side, x : x + side], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.clip(cut**2.2 * (1 + rng.uniform(-0.3, 0.3, 3)), 0, 1)


@dataclass(frozen=True)
class Drawn:
    """B windows that are not rendered yet.

    scene: of B scenes. T_world_cam: (B,V,4,4) float64, m. K: (B,V,3,3) float32 px. size: height and
    width of the pictures.
    """

    scene: SyntheticScene
    T_world_cam: torch.Tensor
    K: torch.Tensor
    size: tuple[int, int]

    def render(self, atlas: Atlas, rng: np.random.Generator) -> Windows:
        """On the atlas's device. rng: of exposure."""
        device = atlas.texels.device
        T_world_cam, K = self.T_world_cam.to(device), self.K.to(device)
        with torch.no_grad():
            light, depth = render(self.scene.to(device), atlas, T_world_cam, K, *self.size)
        images = develop(light, _exposure(rng, light))
        return Windows(images, depth.half(), T_world_cam, K)


def draw_windows(rng, textures: int, count: int, views: int, size: tuple[int, int]) -> Drawn:
    """What `count` windows show and from where, of an atlas of so many textures; no device is
    needed yet."""
    drawn = [_draw(rng, textures, views, *size) for _ in range(count)]
    scene = join([scene for scene, _, _ in drawn])
    T_world_cam = torch.from_numpy(np.stack([T for _, T, _ in drawn]))
    K = torch.from_numpy(np.stack([K for _, _, K in drawn])).float()
    return Drawn(scene, T_world_cam, K, size)


def random_windows(rng, atlas: Atlas, count: int, views: int, height: int, width: int) -> Windows:
    """Render `count` windows on the atlas's device."""
    return draw_windows(rng, atlas.count, count, views, (height, width)).render(atlas, rng)


def _draw(rng, textures, views, height, width):
    while True:
        builder, area = scenes.random_scene(rng, textures)
        path = paths.random_path(rng, builder, area, views)
        if path is not None:
            K = paths.random_intrinsics(rng, height, width)
            return scenes.build(builder), np.stack(path), np.repeat(K[None], views, axis=0)


def _exposure(rng, light):
    """(B,V,1,1,1): the camera's automatic exposure, drifting a little between views."""
    mean = light.mean(dim=(1, 2, 3, 4)).clamp_min(1e-3)
    B, V = light.shape[:2]
    target = torch.from_numpy(np.exp(rng.normal(np.log(0.2), 0.35, (B, 1))))
    drift = torch.from_numpy(np.exp(rng.normal(0, 0.04, (B, V))))
    return ((target * drift).to(light) / mean[:, None]).view(B, V, 1, 1, 1)
