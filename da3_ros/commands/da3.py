"""The `da3` command: depth, cameras and files from pictures or a video."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from da3_ros.api import DepthAnything3
from da3_ros.commands import is_unread
from da3_ros.core.export import FORMATS
from da3_ros.core.export.folder import check_folder
from da3_ros.core.files.disk import in_words
from da3_ros.core.files.home import from_home
from da3_ros.core.inference_request import InferenceOptions, check_options
from da3_ros.core.load_model import ModelError, find_device
from da3_ros.core.preprocess import plan_resize
from da3_ros.core.print_options import plain_lines
from da3_ros.core.user_input.options import Flag, Option, OptionError
from da3_ros.core.user_input.picture_files import find_pictures
from da3_ros.core.user_input.pictures import check_file
from da3_ros.core.user_input.video import VideoError, read_video
from da3_ros.net.checkpoint import load_network
from da3_ros.net.engine.export import EngineSize, export_engine
from da3_ros.net.engine.precisions import ENGINE_PRECISIONS
from da3_ros.net.model_folder import LARGEST_RES, LARGEST_WINDOW, CheckpointError, known_preset
from da3_ros.net.out_of_memory import named_if_out_of_memory
from da3_ros.net.plain_text import LONGEST_SENTENCE, first_line, plain
from da3_ros.net.precision import PRECISIONS
from da3_ros.net.presets import PATCH, PRESETS

ARGUMENTS = (
    "process_res",
    "process_res_method",
    "ref_view_strategy",
    "use_ray_pose",
    "infer_gs",
    "conf_thresh_percentile",
    "num_max_points",
    "feat_vis_fps",
)
"""Arguments of `inference` that the command has under their own names."""

EXAMPLES = """examples:
  da3 infer room/*.jpg --model depth-anything/DA3-SMALL --export-dir out
  da3 infer room/ --model da3-demo --export-format glb-depth_vis --export-dir out
  da3 infer room/ --export-format colmap --export-kwargs '{"colmap": {"model": "text"}}'
  da3 video drive.mp4 --fps 2 --export-format glb-npz --export-dir out
  da3 export-onnx --model da3-demo --views 4 --out engine
  da3 presets
  da3 formats

export formats, joined with '-': {formats}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(str(message))
            return options.run(options)
    except (ValueError, OSError, CheckpointError, MemoryError, torch.OutOfMemoryError) as error:
        if isinstance(error, BrokenPipeError) and is_unread():
            raise  # no error: see da3_ros.commands
        _say(str(error))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("da3", description=__doc__, **_help_style())
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    infer = verbs.add_parser("infer", help="pictures in, files out", **_help_style())
    infer.add_argument("images", nargs="+", metavar="IMAGE", help="picture files, or folders")
    _add_common(infer)
    infer.set_defaults(run=_infer)
    video = verbs.add_parser("video", help="a video in, files out", **_help_style())
    video.add_argument("video", metavar="FILE", help="any video that FFmpeg reads")
    video.add_argument("--fps", type=float, default=1.0, help="pictures per second (%(default)s)")
    video.add_argument("--max-frames", type=int, default=64, help="at most (%(default)s)")
    _add_common(video)
    video.set_defaults(run=_video)
    engine = verbs.add_parser("export-onnx", help="an engine for robots", **_help_style())
    _add_engine(engine)
    engine.set_defaults(run=_export_onnx)
    presets = verbs.add_parser("presets", help="the networks there are", **_help_style())
    presets.set_defaults(run=_presets)
    formats = verbs.add_parser("formats", help="export formats and their options", **_help_style())
    formats.set_defaults(run=_formats)
    return parser


def _add_engine(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="repository, folder or preset")
    add("--out", required=True, type=Path, help="folder of the engine, a new one")
    add("--views", type=int, default=4, help="of every window: window.size (%(default)s)")
    add("--res", type=int, default=0, help="model.process_res, px; 0: the model's own")
    add("--image-size", default="640x480", help="of the camera's pictures, px (%(default)s)")
    about = "fp16 is for GPUs (%(default)s)"
    add("--precision", choices=tuple(ENGINE_PRECISIONS), default="fp32", help=about)


def _help_style() -> dict:
    epilog = EXAMPLES.replace("{formats}", ", ".join(FORMATS))
    return {"epilog": epilog, "formatter_class": argparse.RawDescriptionHelpFormatter}


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        default="depth-anything/DA3-SMALL",
        help="repository, folder or preset (%(default)s)",
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 (%(default)s)")
    add("--precision", choices=PRECISIONS, help="as model.precision of the node; docs/speed.md")
    add("--export-dir", default="da3_out", help="where files go (%(default)s)")
    add("--export-format", default="glb", help="joined with '-' (%(default)s)")
    add("--export-feat", default="", help="layers for feat_vis and npz, as 5,11")
    add("--export-kwargs", default="{}", type=_json, help="options per format, a JSON object")
    add("--no-cameras", action="store_true", help="no wireframes in the glb")
    for known in InferenceOptions.declared():
        if known.name in ARGUMENTS:
            _add_option(parser, known)


def _add_option(parser: argparse.ArgumentParser, known: Option) -> None:
    """The argument of `inference` under its own name, checked as `inference` checks it."""
    flag = "--" + known.name.replace("_", "-")
    if isinstance(known.kind, Flag):
        parser.add_argument(flag, action="store_true", help=known.meaning)
        return

    def read(text: str):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        try:
            return known.kind.check(known.name, value)
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    about = f"{known.meaning}: {known.kind} (%(default)s)".replace("% ", "%% ")
    parser.add_argument(flag, type=read, default=known.default, metavar="X", help=about)


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {first_line(error)}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('must be a JSON object like {"glb": {}}')
    return value


def _infer(options: argparse.Namespace) -> int:
    return _run(lambda: _pictures(options.images), options)


def _pictures(names: list[str]) -> list[str]:
    found, left_out = find_pictures(names)
    for sentence in left_out:
        _say(sentence)
    for name in found:
        check_file(Path(name), "image")
    return found


def _video(options: argparse.Namespace) -> int:
    if not 0 < options.fps < math.inf or options.max_frames < 1:
        raise ValueError("--fps must be above 0, and a number, and --max-frames at least 1")
    return _run(lambda: _frames(options), options)


def _frames(options: argparse.Namespace) -> list[np.ndarray]:
    film = read_video(options.video, fps=options.fps)
    images = list(tqdm(islice(film, options.max_frames), "reading", unit=" frames"))
    if not images:
        raise VideoError(f"'{options.video}' holds no frames")
    try:
        is_longer = next(film, None) is not None
    except VideoError:  # of what nobody has asked for
        is_longer = True
    if is_longer:
        _say(
            f"only the first {_counted(len(images), 'picture')} of '{options.video}' are taken: a "
            "lower --fps spreads them over more of it, --max-frames takes more"
        )
    return images


def _say(sentence: str) -> None:
    # Over the progress bar, where there is one.
    tqdm.write(f"da3: {plain(sentence, LONGEST_SENTENCE)}", file=sys.stderr)


def _run(read: Callable[[], list], options: argparse.Namespace) -> int:
    """read: the pictures; what the options lack is said before."""
    arguments = _inference_arguments(options)
    try:
        device = find_device(options.device)
    except ModelError as error:
        raise ValueError(str(error).replace("model.device", "--device")) from error
    # Now, and not after the model has come from the hub.
    preset = known_preset(options.model)
    check_options(arguments, preset)
    images = read()
    check_options(arguments, preset, images)
    with tqdm(total=2, unit=" steps") as progress:
        progress.set_description(f"loading {options.model}")
        with named_if_out_of_memory(f"{options.model} does not fit; take a smaller model"):
            model = DepthAnything3(options.model, precision=options.precision).to(device)
        progress.update()
        progress.set_description(f"{_counted(len(images), 'picture')} on {device}")
        started = time.monotonic()
        prediction = model.inference(images, **arguments)
        progress.update()
    count, height, width = prediction.depth.shape
    seconds = time.monotonic() - started
    print(f"{_counted(count, 'depth map')} of {width}x{height} px in {seconds:.1f} s")
    print(f"{options.export_format} written to {Path(from_home(options.export_dir)).resolve()}")
    return 0


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" + "s" * (count != 1)


def _inference_arguments(options: argparse.Namespace) -> dict:
    names = ("export_dir", "export_format", "export_kwargs", *ARGUMENTS)
    words = [word.strip() for word in options.export_feat.split(",") if word.strip()]
    if not all(re.fullmatch(r"\d{1,3}", word) for word in words):
        raise ValueError(f"--export-feat is '{plain(options.export_feat)}', must be like 5,11")
    layers = [int(word) for word in words]
    arguments = {name: getattr(options, name) for name in names}
    return arguments | {"export_feat_layers": layers, "show_cameras": not options.no_cameras}


def _export_onnx(options: argparse.Namespace) -> int:
    wanted = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", options.image_size)
    if not wanted:
        raise ValueError(f"--image-size is '{options.image_size}', must be like 640x480")
    if not 1 <= options.views <= LARGEST_WINDOW:
        raise ValueError(f"--views is {options.views}, must be 1 to {LARGEST_WINDOW}")
    if options.res and not PATCH <= options.res <= LARGEST_RES:
        raise ValueError(f"--res is {options.res}, must be {PATCH} to {LARGEST_RES} px, or 0")
    check_folder(options.out, (), "--out")
    with named_if_out_of_memory(f"{options.model} does not fit; take a smaller model"):
        network = load_network(options.model)
    res = options.res or network.weights.size.process_res
    width, height = map(int, wanted.groups())
    plan = plan_resize(height, width, res)
    size = EngineSize(options.views, plan.size, res, (width, height))

    def say(what: str) -> None:
        print(what, file=sys.stderr)

    try:
        errors = export_engine(network, options.out, size, options.precision, say)
    except OSError as error:
        raise ValueError(in_words(error, "the files", options.out)) from error
    print(f"windows of {options.views} views of {plan.size[1]}x{plan.size[0]} px: {options.out}")
    print(f"largest error against torch: {max(errors.values()):.1e}")
    print(f"use it with: model.backend:=onnxruntime model.name:={options.out.resolve()}")
    return 0


def _formats(options: argparse.Namespace) -> int:
    print("\n".join(plain_lines()))
    return 0


def _presets(options: argparse.Namespace) -> int:
    for preset in PRESETS.values():
        abilities = ["several views and poses" if preset.any_view else "one view"]
        abilities += ["Gaussians"] * preset.gaussians + ["metric"] * preset.metric
        source = preset.repository or "ships with da3_ros"
        print(f"{preset.name:22} {source:36} {preset.license:13} {', '.join(abilities)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
