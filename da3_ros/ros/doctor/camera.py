"""Checks of images and camera infos."""

from __future__ import annotations

from collections import Counter

import numpy as np
from sensor_msgs.msg import CompressedImage

from da3_ros.core.camera_model import CameraError, CameraModel, is_far_off_centre
from da3_ros.core.config import Config
from da3_ros.core.preprocess import PreprocessError, plan_resize
from da3_ros.net.model_folder import OFFICIAL_RES, CheckpointError, trained_size
from da3_ros.ros.doctor.findings import Finding, error, ok, warn
from da3_ros.ros.doctor.recording import Recording
from da3_ros.ros.health.clock_watch import FAR_NS
from da3_ros.ros.images import ImageError, decode
from da3_ros.ros.inputs.info_doubts import (
    frame_doubt,
    is_distorted,
    is_raw,
    rectification_doubt,
)
from da3_ros.ros.messages import stamp_to_ns
from da3_ros.ros.transport import FAST_DDS_LIMIT, LARGE_IMAGES_ARE_LOST, use_profile

ENOUGH = 0.95
"""Share of the images that need a camera info of their stamp."""

FEW, MOST = 5, 0.8
"""Camera infos from which on they are compared, and the share of images that is enough."""


def check_camera(seen: Recording, config: Config) -> list[Finding]:
    """All checks of this file."""
    return [
        check_images(seen, config),
        check_headers(seen),
        check_info(seen, config),
        check_pairs(seen),
        check_rectification(seen, config),
        check_clock(seen),
    ]


def check_choice(seen: Recording) -> list[Finding]:
    """Which camera was taken, where others could be meant."""
    return [ok("camera", note) for note in seen.topics.notes]


def check_images(seen: Recording, config: Config) -> Finding:
    """Readable, all of one size, large enough for the network."""
    sizes = Counter(_raw_size(event.msg) for event in seen.images)
    try:
        height, width = decode(seen.images[0].msg).shape[:2]
        plan_resize(height, width, _process_res(config))
    except (ImageError, PreprocessError) as problem:
        return error("images", str(problem), "choose another topic or encoding of the camera")
    if lost := _lost(seen):
        return lost
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}" for w, h in sizes if w)
        return warn("images", f"their size changes: {listed}", "fix the size in the camera driver")
    what = f"{len(seen.images)} on {seen.topics.image}, {width}x{height}, {_rate(seen)}"
    if seen.is_live and seen.topics.compressed != config.input.compressed:
        kind = "compressed" if seen.topics.compressed else "raw"
        fix = f"set input.compressed: {str(seen.topics.compressed).lower()}"
        return error("images", f"{what}; only these {kind} ones come", fix)
    return ok("images", what)


def _process_res(config: Config) -> int:
    """Longest side in px in the network; what is wrong with the model, its own check says."""
    try:
        return config.model.process_res or trained_size(config.model.name).process_res
    except CheckpointError:
        return OFFICIAL_RES


def _rate(seen: Recording) -> str:
    """Of images, between neighbours: a bag that is played in a loop goes back once."""
    times = [stamp_to_ns(event.msg.header.stamp) for event in seen.images]
    steps = [b - a for a, b in zip(times, times[1:]) if b > a]
    return f"{1e9 / np.median(steps):.1f} Hz" if steps else "at unknown rate"


def _lost(seen: Recording) -> Finding | None:
    """Camera infos are small and arrive: many more of them than images say that those are lost."""
    images, infos = len(seen.images), len(seen.infos)
    if infos < FEW or images >= MOST * infos:
        return None
    size = len(seen.images[0].msg.data)
    what = f"{infos} camera infos came, but {images} images of {size >> 10} kB"
    if not seen.is_live:
        return warn("images", what, "images were lost before or while they were recorded")
    if size < FAST_DDS_LIMIT:
        return warn("images", what, "is the network too slow, or are the images throttled?")
    return error("images", f"{what}: {LARGE_IMAGES_ARE_LOST}", use_profile())


def _raw_size(msg) -> tuple[int, int]:
    """(width, height) as the message says; zeros of a compressed one, which does not."""
    return (0, 0) if isinstance(msg, CompressedImage) else (msg.width, msg.height)


def check_headers(seen: Recording) -> Finding:
    """Stamps there, rising, not repeated; a frame id."""
    headers = [event.msg.header for event in seen.images]
    stamps = [stamp_to_ns(header.stamp) for header in headers]
    if not all(stamps):
        return error("stamps", "images have stamp 0", "set the stamp in the camera driver")
    if nameless := sum(not header.frame_id for header in headers):
        what, fix = "images have no frame_id", "set frame_id in the camera driver"
        if nameless == len(headers):
            return error("stamps", what, fix)
        return warn("stamps", f"{nameless} of {len(headers)} {what}; they are dropped", fix)
    repeated = len(stamps) - len(set(stamps))
    backwards = sum(b < a for a, b in zip(stamps, stamps[1:]))
    if repeated or backwards:
        what = f"{repeated} images repeat a stamp, {backwards} are older than the one before"
        return warn("stamps", what, "stamp images once, at exposure; they are dropped otherwise")
    return ok("stamps", f"rising, frame_id '{headers[0].frame_id}'")


def check_info(seen: Recording, config: Config) -> Finding:
    """Intrinsics that a camera can have, of the images' size and frame."""
    name = "camera info"
    if not seen.infos:
        what = f"nothing on {seen.topics.camera_info}"
        return error(name, what, "start or record the camera_info topic beside the images")
    info = seen.infos[0]
    try:
        rectify = seen.rectifier(is_asked=config.input.rectify)
        camera = rectify.camera
        height, width = decode(seen.images[0].msg).shape[:2]
    except CameraError as problem:
        return error(name, str(problem), "calibrate the camera (camera_calibration) and load it")
    except ImageError as problem:
        return error(name, f"cannot be compared: {problem}", "see images")
    if (camera.width, camera.height) != (width, height):
        what = f"it is for {camera.width}x{camera.height}, the images are {width}x{height}"
        fix = "publish the camera_info of the resized image (image_proc resizes both)"
        return error(name, what, fix)
    if doubt := frame_doubt(seen.topics.frame_id, info):
        return warn(name, *doubt)
    if is_far_off_centre(camera):
        what = f"principal point ({camera.K[0, 2]:.0f}, {camera.K[1, 2]:.0f}) is far off centre"
        return warn(name, what, "was the image cropped or resized without its camera_info?")
    what = f"fx {camera.K[0, 0]:.0f} px, {field_of_view(camera):.0f} degrees wide"
    is_alone = len(config.input.cameras) == 1  # those of a rig have frames of their own
    if is_alone and (doubt := seen.stereo.doubt(info)):
        return warn(name, f"{what}; {doubt.what}", doubt.fix)
    if rectify.centre.any():
        place = ", ".join(f"{metres:.3f}" for metres in rectify.centre)
        frame = info.header.frame_id
        what += f"; its P places the camera at ({place}) m in '{frame}' (second of a stereo pair)"
    return ok(name, what)


def field_of_view(camera: CameraModel) -> float:
    """The horizontal angle in degrees, without the lens."""
    return float(np.degrees(2 * np.arctan(camera.width / 2 / camera.K[0, 0])))


def check_pairs(seen: Recording) -> Finding:
    """Every image has an info of the same stamp."""
    name = "info stamps"
    stamps = {stamp_to_ns(info.header.stamp) for info in seen.infos}
    pairs = sum(stamp_to_ns(event.msg.header.stamp) in stamps for event in seen.images)
    share = pairs / len(seen.images)
    what = f"{pairs} of {len(seen.images)} images have a camera_info of their stamp"
    fix = "the driver must give both the same stamp; record both topics without loss"
    if share >= ENOUGH:
        return ok(name, what)
    return warn(name, what, fix) if share > 0.5 else error(name, what, fix)


def check_rectification(seen: Recording, config: Config) -> Finding:
    """The parameter input.rectify fits the topic and its lens."""
    name = "rectification"
    if not seen.infos:
        return warn(name, "not judged: no camera info", "see camera info")
    topic, info, is_asked = seen.topics.image, seen.infos[0], config.input.rectify
    doubt = rectification_doubt(topic, info, rectify=is_asked)
    is_done_here = is_raw(topic, info, rectify=is_asked)
    if doubt and is_asked and not is_done_here:
        return ok(name, f"{doubt.what}; {doubt.fix}")
    if doubt:
        return error(name, *doubt)
    if not is_distorted(info):
        return ok(name, "no lens distortion")
    return ok(name, "done by the node" if is_done_here else "done by the camera's pipeline")


def check_clock(seen: Recording) -> Finding:
    """Stamps and arrival are of one clock."""
    name = "clock"
    delays = [event.time_ns - stamp_to_ns(event.msg.header.stamp) for event in seen.images]
    delay_ns = int(np.median(delays))
    if abs(delay_ns) > FAR_NS:
        what = f"image stamps are {abs(delay_ns) / 1e9:.0f} s off the clock of their arrival"
        fix = "with a simulation or a replayed bag start the node with use_sim_time:=true"
        return warn(name, what, fix + "; else synchronise the clocks (chrony)")
    if delay_ns < -50_000_000:
        what = f"image stamps are {-delay_ns / 1e9:.2f} s in the future"
        return warn(name, what, "synchronise the clocks of camera and computer (chrony, PTP)")
    what = f"images arrive {delay_ns / 1e9:.3f} s after their stamp"
    return ok(name, what + (", /clock is there" if seen.clock else ""))
