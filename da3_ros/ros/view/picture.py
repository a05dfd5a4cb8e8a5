"""Camera picture and depth side by side as HTML; the depth under the mouse as a number."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from da3_ros.core.colormap import color_depth, depth_legend, depth_range

WIDTH = 360
"""px of each half; the panel shows them smaller."""

GRID = 96
"""Columns of the depth values that travel with the picture for the mouse."""

UNKNOWN, FAR = 0, 65535
"""Values of the grid: never seen, and beyond the largest distance; the others are hundredths."""

# A page's own scripts do not run inside the panel, handlers of its elements do. The readout is
# looked up each time, because the panel makes it anew with every picture.
_ON_MOVE = (
    "(function(e,i){"
    "var b=i.getBoundingClientRect(),x=(e.clientX-b.left)/b.width,y=(e.clientY-b.top)/b.height,"
    "s=+i.dataset.share,w=+i.dataset.w,h=+i.dataset.h,"
    "u=x<s?x/s:(x<2*s?x/s-1:-1),o=i.parentElement.querySelector('.da3-value');"
    "if(u<0){o.textContent='';return}"
    "var d=atob(i.dataset.depth),"
    "k=2*(Math.min(h-1,Math.floor(y*h))*w+Math.min(w-1,Math.floor(u*w))),"
    "v=d.charCodeAt(k)+256*d.charCodeAt(k+1);"
    "o.textContent=v==0?'unknown':v==65535?'too far':(v/100).toFixed(2)+' '+i.dataset.unit;"
    "})(event,this)"
)


def picture_html(rgb: np.ndarray, depth: np.ndarray, unit: str) -> str:
    """One element: rgb (H, W, 3) uint8 and depth (H, W) float32 beside each other.

    unit: of depth, `m`, or empty where it is not known.
    """
    picture = side_by_side(rgb, depth, unit)
    grid = depth_grid(depth)
    share = WIDTH / picture.shape[1]
    height, width = grid.shape
    return (
        '<div style="padding:0 0.5em">'
        f'<img class="da3-picture" style="width:100%" src="data:image/jpeg;base64,{_jpeg(picture)}"'
        f' data-share="{share:.5f}" data-w="{width}" data-h="{height}"'
        f' data-unit="{unit}"'
        f' data-depth="{base64.b64encode(grid.astype("<u2").tobytes()).decode()}"'
        f' onmousemove="{_ON_MOVE}"/>'
        '<div class="da3-value" style="font-family:monospace;height:1.4em"></div></div>'
    )


def side_by_side(rgb: np.ndarray, depth: np.ndarray, unit: str) -> np.ndarray:
    """(h, 2 `WIDTH` + `LEGEND_WIDTH`, 3) uint8: picture, depth in colors, color bar."""
    shown = depth_picture(depth, unit)
    picture = cv2.resize(rgb, (WIDTH, len(shown)), interpolation=cv2.INTER_AREA)
    return np.hstack([picture, shown])


def depth_picture(depth: np.ndarray, unit: str) -> np.ndarray:
    """(h, `WIDTH` + `LEGEND_WIDTH`, 3) uint8: depth (H, W) in colors, color bar."""
    height = max(1, round(WIDTH * depth.shape[0] / depth.shape[1]))
    near, far = depth_range(depth)
    small = cv2.resize(depth, (WIDTH, height), interpolation=cv2.INTER_NEAREST)
    return np.hstack([color_depth(small, near, far), depth_legend(near, far, height, unit)])


def depth_grid(depth: np.ndarray) -> np.ndarray:
    """(h, `GRID`) uint16, hundredths of depth (H, W); `UNKNOWN` and `FAR` without a number."""
    height = max(1, round(GRID * depth.shape[0] / depth.shape[1]))
    small = cv2.resize(depth, (GRID, height), interpolation=cv2.INTER_NEAREST)
    grid = np.full(small.shape, UNKNOWN, np.uint16)
    known = np.isfinite(small)
    hundredths = np.minimum(small[known], FAR / 100) * 100  # float32 has an end
    grid[known] = np.clip(np.round(hundredths), 1, FAR - 1).astype(np.uint16)
    grid[np.isposinf(small)] = FAR
    return grid


def _jpeg(rgb: np.ndarray) -> str:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data).decode()
