"""A window is sent to a GPU, with its pictures and cameras, and nothing waits until its maps are
fetched. Shown on torch's meta device, which has no numbers to fetch."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from da3_ros.core.config import from_dict
from da3_ros.core.frame import Frame
from da3_ros.core.pipeline import Pipeline
from da3_ros.core.sliding_window import Window
from da3_ros.net.checkpoint import load_network
from da3_ros.synthetic.room import demo_path, render_room


class CopiesWaited(TorchDispatchMode):
    """Notes copies to the device for which torch waits."""

    def __init__(self):
        super().__init__()
        self.sent, self.waited = 0, []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        given = [x for x in args if torch.is_tensor(x)]
        goes_up = str(operation).startswith("aten.to.") and given[0].device.type == "cpu"
        if goes_up and made.device.type == "meta":
            self.sent += 1
            if not (kwargs or {}).get("non_blocking"):
                self.waited.append(tuple(given[0].shape))
        return made


@pytest.mark.parametrize("source", ["tf", "none"])
def test_nothing_waits_on_the_way_to_the_maps(source):
    shots = [render_room(T) for T in demo_path(60)[:4]]
    frames = tuple(
        Frame("camera", i, s.image, s.camera, s.T_world_cam if source == "tf" else None)
        for i, s in enumerate(shots)
    )
    window = Window(frames[:3], 1, (1,)), Window(frames[1:], 1, (1,))
    config = from_dict({"pose.source": source, "model.process_res": 56})
    pipeline = Pipeline(load_network("da3-demo").to("meta"), config)
    with pytest.raises(NotImplementedError, match="meta"):
        pipeline.process(window[0])  # tables are made once, and may come from the computer
    with CopiesWaited() as copies, pytest.raises(NotImplementedError, match="meta"):
        pipeline.process(window[1])
    assert copies.sent == (3 if source == "tf" else 1)  # a picture; poses and K
    assert not copies.waited
