"""Parameters of what is published: depth, clouds and their compressed forms."""

from __future__ import annotations

from dataclasses import dataclass

from da3_ros.core.parameter import ConfigError, ParameterBlock, parameter


@dataclass(frozen=True)
class OutputConfig(ParameterBlock):
    """What is published, and how."""

    size: str = parameter("camera", "size of depth and cloud", choices=("camera", "network"))
    encoding: str = parameter(
        "32FC1", "depth in metres, or millimetres with 0 unknown", choices=("32FC1", "16UC1")
    )
    min_depth: float = parameter(
        0.1, "nearer depth becomes NaN", unit="m", low=0.0, high=1000.0, live=True
    )
    max_depth: float = parameter(
        50.0, "farther depth becomes +Inf (REP-117)", unit="m", low=0.0, high=100000.0, live=True
    )
    min_confidence: float = parameter(
        0.0,
        "share of the least confident pixels that become NaN",
        unit="%",
        low=0.0,
        high=100.0,
        live=True,
    )
    edge_ratio: float = parameter(
        0.0,
        "pixels between surfaces whose depths differ by more than this share become NaN; "
        "0 keeps them",
        low=0.0,
        high=10.0,
        live=True,
    )
    cloud_step: int = parameter(
        1, "every n-th pixel and row of the cloud", low=1, high=64, live=True
    )
    cloud_filter: float = parameter(
        0.05,
        "pixels between surfaces whose depths differ by more than this share are NaN in the cloud, "
        "never in the depth image; slanted surfaces stay; 0 keeps all",
        low=0.0,
        high=10.0,
        live=True,
    )
    cloud_confidence: bool = parameter(
        False,
        "a field `confidence` of the cloud, 0 (none) to 1: 1 - 1 / c of the network's c >= 1",
        live=True,
    )
    jpeg_quality: int = parameter(
        80, "of `image_rect/compressed`, as in image_transport", low=1, high=100, live=True
    )
    depth_quantization: float = parameter(
        100.0,
        "z0 of `depth/image/compressedDepth`, as in image_transport: depth z comes back within "
        "z^2 / (2 z0 (z0 + 1)); less is smaller",
        unit="m",
        low=1.0,
        high=150.0,
        live=True,
    )

    def check_together(self) -> None:
        """There is a range of depth."""
        if self.min_depth >= self.max_depth:
            raise ConfigError(
                f"output.min_depth is {self.min_depth}, must be below output.max_depth "
                f"({self.max_depth})"
            )
