"""Services that write files, one at a time, while images go on being processed.

Each export is a folder of its own that appears when it is complete; a name that is there
already gets a number.

~/export         da3_ros/Export    any formats, name and options
~/export_glb     std_srvs/Trigger  the newest window as glb
~/export_gs_ply  std_srvs/Trigger  the newest window as 3D Gaussians

The action of the same name is in export_action.py.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.callback_groups import ReentrantCallbackGroup
from std_srvs.srv import Trigger

from da3_ros.core.export import ExportError
from da3_ros.core.export.folder import export_folder
from da3_ros.core.export.running import Source, export_running
from da3_ros.core.files.disk import in_words
from da3_ros.core.files.staging import new_folder
from da3_ros.core.live_config import LiveConfig
from da3_ros.core.runner import Runner
from da3_ros.core.scene.scene import Scene
from da3_ros.net.plain_text import LONGEST_PATH, LONGEST_SENTENCE, plain
from da3_ros.ros.bounds import LONGEST_EXPORT_REQUEST
from da3_ros.ros.entities import CLOSING, Entities
from da3_ros.ros.health.throttled_log import PERIOD
from da3_ros.srv import Export

CALLED_OFF = "the node was cleaned up during the export; nothing was written"


class ExportCancelled(RuntimeError):
    """Whoever asked for an export does not want it any more, or the node is cleaned up."""


@dataclass(frozen=True)
class Written:
    """What became of an export. message: what was written, or why nothing was."""

    success: bool
    message: str
    paths: tuple[str, ...] = ()


class ExportServices:
    """The export services while the node is configured; they show the runner's newest result."""

    def __init__(self, entities: Entities, live: LiveConfig, runner: Runner, scene: Scene):
        self._entities, self._logger = entities, entities.node.get_logger()
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
        return _answer(response, self.export(request.formats, request.name, request.options))

    def _on_glb(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self.export("glb"))

    def _on_gs_ply(self, _, response: Trigger.Response) -> Trigger.Response:
        return _answer(response, self.export("gs_ply"))

    def export(
        self,
        formats: str = "",
        name: str = "",
        options: str = "",
        tell: Callable[[str], None] = lambda name: None,
    ) -> Written:
        """Write files; refuses while another export runs, and what `refusal` says.

        tell: called with each format before it is written; nothing stays of what was written when
        it raises `ExportCancelled`.
        """
        if refusal := self.refusal(formats, name, options):
            return Written(False, refusal)
        if not self._running.acquire(blocking=False):
            sentence = f"another export is running ({self._job}); try again when it is done"
            return Written(False, sentence)
        try:
            return self._write(formats or self.default_formats, name, options, tell)
        except ExportCancelled as error:
            self._logger.info(str(error))
            return Written(False, str(error))
        except (ExportError, ValueError, OSError, RuntimeError, MemoryError) as error:
            reason = plain(in_words(error, "the files", "export.directory"), LONGEST_SENTENCE)
            failed = f"export of {self._job} failed: {reason}"
            self._logger.error(failed, throttle_duration_sec=PERIOD)
            return Written(False, reason)
        finally:
            self._job = ""
            self._running.release()

    def refusal(self, formats: str, name: str, options: str) -> str:
        """Why such an export is not begun, before any of it is read; empty if it may be."""
        if self._entities.is_closing:
            return CLOSING
        length = len(formats) + len(name) + len(options)
        if length <= LONGEST_EXPORT_REQUEST:
            return ""
        return (
            f"formats, name and options have {length:,} characters, an export takes at most "
            f"{LONGEST_EXPORT_REQUEST:,}"
        )

    @property
    def default_formats(self) -> str:
        """Those of a request that names none."""
        return self._live.config.export.formats

    def _write(self, formats: str, name: str, options: str, tell) -> Written:
        self._job = plain(formats)
        parsed = parse_options(options)
        # It may have to go through the network first.
        config, newest = self._live.config, self._runner.newest()
        stamp_ns = newest.window.stamp_ns if newest else 0
        folder = export_folder(config.export.directory, name, stamp_ns)
        self._job = f"{plain(formats)} to {plain(str(folder), LONGEST_PATH)}"
        self._logger.info(f"exporting {self._job}", throttle_duration_sec=1.0)
        start = time.monotonic()

        def tell_unless_closing(name: str) -> None:
            self._go_on()
            tell(name)

        with new_folder(folder) as stage:
            source = Source(newest, self._scene, self._runner, config.pose.world_frame)
            export_running(formats, stage.path, parsed, source, tell_unless_closing)
            self._go_on()
        count = f"{len(stage.files)} file" + "s" * (len(stage.files) != 1)
        message = f"{count} in {stage.path}, {time.monotonic() - start:.1f} s"
        self._logger.info(f"exported {message}")
        return Written(True, message, tuple(map(str, stage.files)))

    def _go_on(self) -> None:
        if self._entities.is_closing:
            raise ExportCancelled(CALLED_OFF)


def _answer(response, written: Written):
    response.success, response.message = written.success, written.message
    if hasattr(response, "paths"):
        response.paths = list(written.paths)
    return response


def parse_options(text: str) -> dict:
    """Options of an export request: a JSON object, or nothing. Raises `ExportError`."""
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise ExportError(f"options must be a JSON object: {error}") from error
    if not isinstance(options, dict):
        raise ExportError(f"options must be a JSON object, got {text!r}")
    return options
