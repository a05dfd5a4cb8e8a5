"""Pictures on their way to the network: on a GPU they travel while it computes.

A camera's picture goes up as it is, from pinned memory and on a stream of its own, and is resized
and normalised there. So the window that waits costs the one that computes nothing, and the
processor only copies bytes.

    thread      may call
    callbacks   begin
    network     take
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from da3_ros.core.device_resize import prepare_on_device
from da3_ros.core.frame import Frame
from da3_ros.core.network_input import WindowInput
from da3_ros.net.out_of_memory import is_out_of_memory


@dataclass(frozen=True)
class _OnTheWay:
    """picture: (3, h, w) float32; there when `arrived` has happened."""

    picture: Tensor
    arrived: torch.cuda.Event | None


class DevicePictures:
    """Pictures on a device of torch; what nobody has begun is begun when it is taken."""

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = _stream_of(device) if device.type == "cuda" else None
        self._begun: WeakKeyDictionary[Frame, _OnTheWay] = WeakKeyDictionary()

    @torch.inference_mode()
    def begin(self, prepared: WindowInput, positions: Sequence[int]) -> None:
        """Send pictures on their way, and wait for nothing."""
        try:
            for i in positions:
                if not _fits(self._begun.get(prepared.frames[i]), prepared.size):
                    self._begun[prepared.frames[i]] = self._send(prepared, i)
        except RuntimeError as error:
            # Without memory for them `take` finds out, and makes the windows smaller.
            if not is_out_of_memory(error):
                raise

    def take(self, prepared: WindowInput, positions: Sequence[int]) -> Tensor:
        """(1, N, 3, h, w) float32 pictures of the frames at `positions`, which are then forgotten.

        The stream of the caller waits for them, the caller does not.
        """
        return torch.stack([self._picture(prepared, i) for i in positions])[None]

    def _picture(self, prepared: WindowInput, i: int) -> Tensor:
        begun = self._begun.pop(prepared.frames[i], None)
        sent = begun if _fits(begun, prepared.size) else self._send(prepared, i)
        if sent.arrived is not None:
            network = torch.cuda.current_stream(self._device)
            network.wait_event(sent.arrived)
            sent.picture.record_stream(network)
        return sent.picture

    def _send(self, prepared: WindowInput, i: int) -> _OnTheWay:
        with torch.cuda.stream(self._stream):
            image = self._upload(prepared.frames[i].image)
            picture = prepare_on_device(image, prepared.plans[i], prepared.size)
            return _OnTheWay(picture, self._stream and self._stream.record_event())

    def _upload(self, image: np.ndarray) -> Tensor:
        staged = torch.empty(image.shape, dtype=torch.uint8, pin_memory=self._stream is not None)
        staged.numpy()[...] = image
        return staged.to(self._device, non_blocking=True)


@cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """One for all pipelines: torch keeps memory for each stream that was ever used."""
    return torch.cuda.Stream(device)


def _fits(sent: _OnTheWay | None, size: tuple[int, int]) -> bool:
    return sent is not None and sent.picture.shape[1:] == size


def pictures_for(device: torch.device) -> DevicePictures | None:
    """None on the processor: all its cores are the network's, nothing is sent ahead."""
    return None if device.type == "cpu" else DevicePictures(device)
