"""Write a prediction to files: one module per format, complete or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from da3_ros.core.export.colmap import CLOUD, MODEL_FILES, PICTURES, ColmapOptions, export_colmap
from da3_ros.core.export.contents import (
    CAMERAS,
    FEATURES,
    GAUSSIANS,
    IMAGES,
    ONE_PER_PIXEL,
    check_contents,
)
from da3_ros.core.export.depth_vis import DepthVisOptions, export_depth_vis
from da3_ros.core.export.earlier import check_inputs_stay, check_replaceable
from da3_ros.core.export.feat_vis import FeatVisOptions, export_feat_vis
from da3_ros.core.export.folder import ExportError, FailedExportError, check_folder
from da3_ros.core.export.glb import GlbOptions, export_glb
from da3_ros.core.export.gs_ply import GsPlyOptions, export_gs_ply
from da3_ros.core.export.gs_video import GsVideoOptions, export_gs_video
from da3_ros.core.export.npz import export_mini_npz, export_npz
from da3_ros.core.export.ply import export_ply
from da3_ros.core.export.points import CloudOptions
from da3_ros.core.files.disk import in_words
from da3_ros.core.files.home import from_home
from da3_ros.core.files.staging import staged
from da3_ros.core.prediction import Prediction
from da3_ros.core.user_input.options import OptionError, Options, shown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Format:
    """One format: its writer, its options, what it needs, and its files.

    files: below the export's folder, patterns as of `Path.glob`. spared: those of them that such
    options do not write. whole: patterns of files that are one thing: older ones that are not
    written anew go, for readers would mix the two.
    """

    write: Callable[[Prediction, Path, Options], list[Path]]
    options: type[Options]
    needs: tuple[str, ...]
    files: tuple[str, ...]
    spared: Callable[..., tuple[str, ...]] = lambda options: ()
    whole: tuple[str, ...] = ()


_PICTURES = "depth_vis/[0-9]*.jpg"
_SHOWN = ("scene.jpg", _PICTURES)
"""What glb adds to the scene."""

FORMATS = {
    "mini_npz": Format(export_mini_npz, Options, (), ("exports/mini_npz/results.npz",)),
    "npz": Format(export_npz, Options, (IMAGES,), ("exports/npz/results.npz",)),
    "glb": Format(
        export_glb,
        GlbOptions,
        (CAMERAS, IMAGES),
        ("scene.glb", *_SHOWN),
        spared=lambda options: () if options.export_depth_vis else _SHOWN,
    ),
    "ply": Format(export_ply, CloudOptions, (CAMERAS, IMAGES), ("points.ply",)),
    "colmap": Format(
        export_colmap,
        ColmapOptions,
        (CAMERAS, IMAGES),
        (*MODEL_FILES, CLOUD, PICTURES),
        spared=lambda options: (PICTURES,) if options.images else (),
        whole=MODEL_FILES,
    ),
    "gs_ply": Format(export_gs_ply, GsPlyOptions, (GAUSSIANS, ONE_PER_PIXEL), ("gs_ply/0000.ply",)),
    "gs_video": Format(export_gs_video, GsVideoOptions, (CAMERAS, GAUSSIANS), ("gs_video/*.mp4",)),
    "feat_vis": Format(
        export_feat_vis,
        FeatVisOptions,
        (FEATURES, IMAGES),
        ("feat_vis/feat_layer_*.mp4", "feat_vis/feat_layer_*/[0-9]*.jpg"),
    ),
    "depth_vis": Format(export_depth_vis, DepthVisOptions, (IMAGES,), (_PICTURES,)),
}

NEED_GAUSSIANS = tuple(name for name, format in FORMATS.items() if GAUSSIANS in format.needs)

ExportPlan = dict[str, Options]
"""Formats to write and their options, checked."""


def export(
    prediction: Prediction, formats: str, folder: str | Path, options: dict | None = None
) -> list[Path]:
    """Write `formats` (names joined with ``-``) below `folder`; returns the files written.

    options: ``{format: {option: value}}``; an option at the top level goes to every
    requested format that has it. Raises `ValueError` (`ExportError`, `OptionError`) before anything
    is written when a name is unknown, a value cannot be, or the prediction lacks something or has
    been changed to what cannot be.
    """
    return write(prediction, plan_exports(split_formats(formats), options), folder)


def write(
    prediction: Prediction,
    plan: ExportPlan,
    folder: str | Path,
    tell: Callable[[str], None] = lambda name: None,
) -> list[Path]:
    """Write all formats of a plan, or none: they appear when the last one is complete.

    tell: called with each format before it is written. Files of an earlier export are replaced,
    which a warning says. Raises `ValueError`, mostly `ExportError`, before anything is written, and
    what `tell` raises.
    """
    folder = _placed(folder)
    for name, options in plan.items():
        check_contents(name, FORMATS[name].needs, prediction)
        options.check_views(len(prediction.depth))
    check_exports_folder(folder, plan)
    whole = [pattern for name in plan for pattern in FORMATS[name].whole]
    with staged(Path(folder), whole) as stage:
        for name, options in plan.items():
            tell(name)
            FORMATS[name].write(prediction, stage.path, options)
    if stage.replaced:
        _log.warning(
            "replaced %d files of an earlier export in '%s'%s",
            len(stage.replaced),
            folder,
            f"; {stage.left} more of them stay beside the new ones" if stage.left else "",
        )
    return stage.files


_IN_WORDS = (ExportError, OptionError, OSError, MemoryError)
"""Errors that say what is wrong without their name."""


def write_or_keep(prediction: Prediction, plan: ExportPlan, folder: str | Path) -> list[Path]:
    """`write`; whatever happens, the prediction is not lost: `FailedExportError` has it."""
    try:
        return write(prediction, plan, folder)
    except Exception as error:
        words = in_words(error, "the files of the export", f"'{folder}'")
        if not isinstance(error, _IN_WORDS) and str(error):
            words = f"{type(error).__name__}: {words}"  # a fault of ours, or of a library
        raise FailedExportError(words, prediction) from error


def check_exports_folder(
    folder: str | Path, plan: ExportPlan, images: Iterable = (), later: tuple[str, ...] = ()
) -> None:
    """`ExportError` if the plan's files cannot be written below `folder`, or if one would take the
    place of one of the given `images` or of a file that is not of an earlier export.

    later: patterns of files of which it is not known yet whether they are written.
    """
    folder, files = _placed(folder), []
    for name, options in plan.items():
        spared = {*later, *FORMATS[name].spared(options)}
        files += [pattern for pattern in FORMATS[name].files if pattern not in spared]
    check_folder(folder, files)
    check_inputs_stay(folder, files, images)
    check_replaceable(folder, files)


def _placed(folder: str | Path) -> str | Path:
    """What is no path is named later."""
    return from_home(folder) if isinstance(folder, (str, os.PathLike)) else folder


def split_formats(formats: str, others: Iterable[str] = ()) -> list[str]:
    """Format names of ``glb-npz``, each once; `ExportError` when one is unknown.

    others: names that are known besides `FORMATS`.
    """
    if not isinstance(formats, str):
        raise ExportError(
            f"export_format is {shown(formats)}, must be names joined with '-', as 'glb-npz'"
        )
    names, known = list(dict.fromkeys(formats.split("-"))), (*FORMATS, *others)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ExportError(
            f"export format {shown(unknown[0])} is unknown; use {', '.join(known)}, joined with '-'"
        )
    return names


def plan_exports(
    names: list[str], options: dict | None = None, defaults: dict[str, dict] | None = None
) -> ExportPlan:
    """Options sorted to the formats that they go to, and checked.

    options: as of `export`. defaults: ``{format: {option: value}}`` that `options` may
    replace. Raises `ExportError` for an option that nobody has, and `OptionError`.
    """
    options = {} if options is None else options
    if not isinstance(options, dict):
        raise ExportError(
            f"export_kwargs is {shown(options)}, must be a dictionary {{format: {{option: value}}}}"
        )
    own = {key: _own_options(key, value) for key, value in options.items() if key in FORMATS}
    common = {key: value for key, value in options.items() if key not in FORMATS}
    for key in common:
        if not any(key in _option_names(name) for name in names):
            asked = ", ".join(names) or "the formats asked for"
            raise ExportError(f"option {shown(key)} is unknown to {asked}{_list(names)}")
    plan = {}
    # Options of formats that are not asked for are checked too: a mistake stays a mistake.
    for name in dict.fromkeys([*names, *own]):
        values = {key: value for key, value in common.items() if key in _option_names(name)}
        values = (defaults or {}).get(name, {}) | values | own.get(name, {})
        plan[name] = FORMATS[name].options(**values)
    return {name: plan[name] for name in names}


def _own_options(name: str, values: dict | None) -> dict:
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ExportError(f"options of {name} must be a dictionary, got {shown(values)}")
    unknown = [key for key in values if key not in _option_names(name)]
    if unknown:
        raise ExportError(f"option {shown(unknown[0])} is unknown to {name}{_list([name])}")
    return values


def _option_names(name: str) -> list[str]:
    return [option.name for option in FORMATS[name].options.declared()]


def _list(names: list[str]) -> str:
    lists = ((name, ", ".join(_option_names(name)) or "no options") for name in names)
    return "".join(f"; {name} has {options}" for name, options in lists)
