"""Every parameter of the node, written once.

Each nested dataclass is one block of the YAML file and one prefix of the ROS
parameter names (`window.size`). Declaration, checks, ranges, descriptions and the
table in docs/parameters.md are all read from here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from da3_ros.core.input_config import InputConfig
from da3_ros.core.output_config import OutputConfig
from da3_ros.core.parameter import (
    ConfigError,
    Parameter,
    ParameterBlock,
    build,
    declared,
    parameter,
    parameter_at_start,
)
from da3_ros.core.scale_config import ScaleConfig
from da3_ros.net.model_folder import LARGEST_RES, LARGEST_WINDOW
from da3_ros.net.plain_text import LONGEST_NAME, plain
from da3_ros.net.presets import PATCH

__all__ = [
    "Config",
    "ConfigError",
    "InputConfig",
    "OutputConfig",
    "Parameter",
    "ScaleConfig",
    "from_dict",
    "parameters",
]


@dataclass(frozen=True)
class ModelConfig(ParameterBlock):
    """The network, and what runs it."""

    name: str = parameter(
        "depth-anything/DA3-SMALL",
        "preset with random weights (`da3-small`), the built-in trained model (`da3-demo`), "
        "a folder with config.json and model.safetensors, or a Hugging Face repository",
    )
    device: str = parameter(
        "auto", "`auto` takes the GPU when there is one; or `cpu`, `cuda`, `cuda:1`"
    )
    precision: str = parameter(
        "auto",
        "`auto` takes bf16 where the device multiplies it faster than fp32; "
        "the last layers stay fp32",
        choices=("auto", "fp32", "bf16"),
    )
    process_res: int = parameter(
        0,
        "longest side of the image inside the network, at least 14; 0 takes the size that the "
        "model was trained for (official ones: 504, da3-demo: 168)",
        unit="px",
        low=0,
        high=LARGEST_RES,
    )
    compile: bool = parameter(
        False, "torch.compile the network when configured; slow start, faster frames"
    )
    cuda_graphs: bool = parameter(
        False,
        "record what a window runs on a CUDA device once per size, and replay it; slower start, "
        "faster frames of small networks",
    )
    backend: str = parameter(
        "torch",
        "what runs the network; `onnxruntime`: model.name is a folder that `da3 export-onnx` made",
        choices=("torch", "onnxruntime"),
    )
    provider: str = parameter(
        "auto",
        "what ONNX Runtime computes with; `auto` takes CUDA where it is there, else the CPU",
        choices=("auto", "cpu", "cuda", "tensorrt", "openvino"),
    )

    def check_together(self) -> None:
        """`process_res` is 0, or at least one patch; torch's own switches are for torch."""
        if 0 < self.process_res < PATCH:
            raise ConfigError(
                f"model.process_res is {self.process_res}, must be at least {PATCH} px, or 0 "
                "for the model's own size"
            )
        for switch in ("compile", "cuda_graphs"):
            if self.backend == "onnxruntime" and getattr(self, switch):
                raise ConfigError(
                    f"model.{switch} is true, which is for model.backend torch: leave it out"
                )
        if self.backend == "torch" and self.provider != "auto":
            raise ConfigError(
                f"model.provider is '{self.provider}', which is for model.backend onnxruntime: "
                "leave it at auto, or set the backend"
            )


@dataclass(frozen=True)
class PoseConfig(ParameterBlock):
    """Where cameras are."""

    source: str = parameter(
        "tf", "where camera poses come from", choices=("tf", "odometry", "none")
    )
    world_frame: str = parameter("odom", "fixed frame of poses and maps; continuous, REP-105")
    timeout: float = parameter(
        0.2,
        "longest wait for a pose at an image's stamp; later images wait behind it",
        unit="s",
        low=0.0,
        high=10.0,
    )
    publish_tf: bool = parameter(False, "with source `none`: broadcast world -> camera")

    def __post_init__(self):
        super().__post_init__()
        # The leading slash is of ROS 1: tf2 refuses messages with such a frame.
        object.__setattr__(self, "world_frame", self.world_frame.lstrip("/"))

    def check_together(self) -> None:
        """The world has a name."""
        if not self.world_frame.strip("/"):
            raise ConfigError("pose.world_frame is empty, must name a frame, for example odom")


@dataclass(frozen=True)
class WindowConfig(ParameterBlock):
    """Which frames are looked at together, and which of them are published."""

    size: int = parameter(4, "frames of one window", low=1, high=LARGEST_WINDOW)
    stride: int = parameter(1, "new frames from one window to the next", low=1, high=LARGEST_WINDOW)
    min_baseline: float = parameter(
        0.03,
        "a frame nearer than this to the last kept one, and less rotated, is skipped",
        unit="m",
        low=0.0,
        high=100.0,
        live=True,
    )
    min_rotation: float = parameter(
        0.05,
        "a frame less rotated than this against the last kept one, and nearer, is skipped",
        unit="rad",
        low=0.0,
        high=3.2,
        live=True,
    )
    max_interval: float = parameter(
        1.0,
        "a frame this long after the last kept one is kept wherever it is: a robot that stands "
        "still goes on seeing",
        unit="s",
        low=0.0,
        high=3600.0,
        live=True,
    )
    max_age: float = parameter(
        5.0,
        "frames older than this against the newest one leave the window, even if it is not full",
        unit="s",
        low=0.0,
        high=3600.0,
        live=True,
    )
    reference: str = parameter(
        "middle",
        "reference view of the network; `middle` has views on both sides of it in time, "
        "`newest` has the least delay",
        choices=("middle", "newest", "first"),
    )
    publish: str = parameter(
        "reference",
        "views decoded and published per window; `all`: every frame, once",
        choices=("reference", "newest", "all"),
    )
    drop_when_busy: bool = parameter(
        True, "newest window wins while the network is busy; false processes every window (offline)"
    )

    def check_together(self) -> None:
        """No frame is left out between two windows."""
        if self.stride > self.size:
            raise ConfigError(
                f"window.stride is {self.stride}, must be at most window.size ({self.size}): "
                "frames in between would never be seen"
            )


@dataclass(frozen=True)
class SceneConfig(ParameterBlock):
    """The map, and depth rendered from it."""

    enabled: bool = parameter(
        False, "fuse every published depth into a map: for `cloud_map`, meshes and `render_depth`"
    )
    voxel_size: float = parameter(0.04, "edge of a voxel", unit="m", low=0.001, high=10.0)
    truncation: float = parameter(
        4.0, "half width of the surface band in voxels", low=1.0, high=32.0
    )
    max_range: float = parameter(
        5.0, "depth beyond this is not fused", unit="m", low=0.1, high=1000.0, live=True
    )
    max_blocks: int = parameter(
        20000,
        "memory bound; the farthest blocks of 8x8x8 voxels are dropped",
        low=16,
        high=10000000,
    )
    cloud_period: float = parameter(
        2.0, "time between two `cloud_map` messages", unit="s", low=0.1, high=3600.0
    )
    cloud_step: int = parameter(
        1,
        "one point of `cloud_map` per cube of so many voxels' edge; more for links that are slow",
        low=1,
        high=64,
        live=True,
    )
    mesh: str = parameter(
        "", "mesh file (PLY, OBJ, GLB) that `render_depth` shows instead of the scene's own"
    )
    mesh_directory: str = parameter_at_start(
        "",
        "`load_mesh` reads files below this folder only; empty means `export.directory`",
    )
    max_pixels: int = parameter(
        1 << 24,
        "largest image that `render_depth` answers; each pixel takes 8 bytes of the answer, and "
        "up to 50 while it is drawn",
        unit="px",
        low=1,
        high=1 << 26,
        live=True,
    )


@dataclass(frozen=True)
class ExportConfig(ParameterBlock):
    """Files."""

    directory: str = parameter_at_start(
        "",
        "exports are written below this folder; empty means ~/.ros/da3_ros",
    )
    formats: str = parameter("glb", "formats of an export that names none, joined with `-`")


@dataclass(frozen=True)
class Config(ParameterBlock):
    """All parameters: every value is checked at birth. Raises `ConfigError`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    input: InputConfig = field(default_factory=InputConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    window: WindowConfig = field(default_factory=WindowConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    scene: SceneConfig = field(default_factory=SceneConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    autostart: bool = parameter(
        True, "configure and activate by itself; false leaves it to a lifecycle manager"
    )

    @property
    def takes_anchors(self) -> bool:
        """Whether points from outside are of any use: they have places in the world only."""
        return self.pose.source != "none" and self.scale.source in ("auto", "anchors")


def parameters() -> Iterator[Parameter]:
    """Every parameter in declaration order, with its dotted name."""
    return declared(Config)


def from_dict(values: dict[str, Any]) -> Config:
    """Config from dotted names; a missing name keeps its default.

    Raises `ConfigError` naming the parameter, the value and the bound.
    """
    unknown = sorted(set(values) - {p.name for p in parameters()})
    if unknown:
        raise ConfigError("; ".join(map(unknown_parameter, unknown)))
    return build(Config, values)


def unknown_parameter(name: str) -> str:
    """That there is no such parameter, and which one may be meant, in a sentence."""
    names = [p.name for p in parameters()]
    near = difflib.get_close_matches(name[:LONGEST_NAME], names, 1, cutoff=0.75)
    near = near or [known for known in names if known.endswith(f".{name}")]
    return f"unknown parameter {plain(name)}" + (f"; is {' or '.join(near)} meant?" if near else "")
