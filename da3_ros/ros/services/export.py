"""Services that write files, one at a time, while images go on being processed.

Each export is a folder of its own that appears when it is complete; a name that is there
already gets a number.

~/export         da3_ros/Export    any formats, name and options
~/export_glb     std_srvs/Trigger  the newest window as glb
~/export_gs_ply  std_srvs/Trigger  the newest window as 3D Gaussians
"""

from __future__ import annotations

import errno
import json
import threading
import time

from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from da3_ros.api import DepthAnything3
from da3_ros.core.export import ExportError
from da3_ros.core.export.folder import export_folder
from da3_ros.core.export.running import check_network, export_running, window_metadata
from da3_ros.core.files.staging import new_folder
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.prediction import Prediction
from da3_ros.core.process_res import process_res
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.ros.entities import Entities
from da3_ros.srv import Export


class ExportServices:
    """The export services while the node is configured; they show the runner's newest result."""

    def __init__(self, entities: Entities, live: LiveConfig, runner: Runner, scene: Scene):
        self._logger = entities.node.get_logger()
        self._live, self._runner, self._scene = live, runner, scene
        self._running = threading.Lock()
        self._job = ""  # what is being written, for the one who asks meanwhile
        # Reentrant, so that a second request is refused in words instead of waiting.
        group = ReentrantCallbackGroup()
        for kind, name, answer in (
            (Export, "export", self._on_export),
            (Trigger, "export_glb", self._on_glb),
            (Trigger, "export_gs_ply", self._on_gs_ply),
        ):
            entities.create_service(kind, f"~/{name}", answer, callback_group=group)

    def _on_export(self, request: Export.Request, response: Export.Response) -> Export.Response:
        response.success, response.message, response.paths = self._export(
            request.formats, request.name, request.options
        )
        return response

    def _on_glb(self, _, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message, _ = self._export("glb")
        return response

    def _on_gs_ply(self, _, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message, _ = self._export("gs_ply")
        return response

    def _export(
        self, formats: str, name: str = "", options: str = ""
    ) -> tuple[bool, str, list[str]]:
        """Success, message, paths. Refuses while another export runs."""
        if not self._running.acquire(blocking=False):
            return False, f"another export is running ({self._job}); try again when it is done", []
        try:
            return self._write(formats or self._live.config.export.formats, name, options)
        except (ExportError, ValueError, OSError, RuntimeError, MemoryError) as error:
            reason = _in_words(error)
            self._logger.error(f"export of {self._job or formats} failed: {reason}")
            return False, reason, []
        finally:
            self._job = ""
            self._running.release()

    def _write(self, formats: str, name: str, options: str) -> tuple[bool, str, list[str]]:
        config, newest = self._live.config, self._runner.newest()
        stamp_ns = newest.window.stamp_ns if newest else 0
        folder = export_folder(config.export.directory, name, stamp_ns)
        parsed = parse_options(options)
        check_network(formats, self._runner.network.preset)
        self._job = f"{formats} to {folder}"
        self._logger.info(f"exporting {self._job}")
        start = time.monotonic()
        with new_folder(folder) as stage:
            export_running(
                formats,
                stage.path,
                parsed,
                newest=newest,
                scene=self._scene,
                infer=self._infer,
                metadata=window_metadata(newest, config.pose.world_frame),
            )
        message = f"{len(stage.files)} files in {stage.path}, {time.monotonic() - start:.1f} s"
        self._logger.info(f"exported {message}")
        return True, message, [str(path) for path in stage.files]

    def _infer(self, images: list, **options) -> Prediction:
        """The network's answer at the node's own size, and never beside another window."""
        size = process_res(self._live.config, self._runner.network)
        with self._runner.network_alone():
            api = DepthAnything3.around(self._runner.network)
            return api.inference(images, process_res=size, **options)


def _in_words(error: Exception) -> str:
    """One sentence; a full disk alone says neither where nor what to do."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"the files do not fit ({error.strerror}): make room below export.directory"
    return str(error) or type(error).__name__


def parse_options(text: str) -> dict:
    """Options of an export request: a JSON object, or nothing. Raises `ExportError`."""
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise ExportError(f"options must be a JSON object: {error}") from error
    if not isinstance(options, dict):
        raise ExportError(f"options must be a JSON object, got {text!r}")
    return options
