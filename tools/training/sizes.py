"""How large the trained network may be.

`small` is what ships as da3-demo. `large` is for a GPU, at 224 to 280 px: the largest that stays
below 20 MB in 8 bits, its cameras in fp16. When it ships, its numbers replace those of da3-demo in
`net/presets.py`; until then `load_checkpoint(folder, preset=SIZES["large"])` reads it.
"""

from __future__ import annotations

from dataclasses import replace

from da3_ros.net.presets import PRESETS, BackboneConfig, HeadConfig, Preset

SIZES: dict[str, Preset] = {
    "small": PRESETS["da3-demo"],
    "large": replace(
        PRESETS["da3-demo"],
        backbone=BackboneConfig(320, 10, 5, (3, 5, 7, 9), alternate_from=2),
        head=HeadConfig(48, (40, 80, 160, 256)),
    ),
}
