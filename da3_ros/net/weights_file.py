"""The file of weights in a model's folder, and what lies there in its place."""

from __future__ import annotations

from pathlib import Path

from da3_ros.net.engine.manifest import is_engine
from da3_ros.net.model_folder import WEIGHTS, CheckpointError
from da3_ros.net.plain_text import LONGEST_PATH, plain

LFS_POINTER = b"version https://git-lfs"
"""First bytes of a file that `git lfs pull` has not fetched."""


def find_weights(folder: Path) -> Path:
    """The file of the weights. Raises `CheckpointError` where it is missing, where Git LFS has left
    a note in its place, and for an engine."""
    check_no_engine(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}; only safetensors checkpoints are loaded")
    if _begins_as_lfs_pointer(path):
        raise CheckpointError(
            f"{path} is not the weights, but the note that Git LFS keeps in their place: run "
            f"'git lfs pull' in {folder}"
        )
    return path


def check_no_engine(folder: Path) -> None:
    """Raise `CheckpointError` for the folder of an engine, where weights are wanted."""
    if is_engine(folder):
        raise CheckpointError(
            f"'{plain(str(folder), LONGEST_PATH)}' is an engine, which the node and da3_process "
            "run with model.backend:=onnxruntime; elsewhere give the model that it was made of"
        )


def _begins_as_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False  # whoever reads on says why
