"""The action ~/export (da3_ros/Export): as the service, with feedback, and it can be called off."""

from __future__ import annotations

import threading

from rclpy.action import CancelResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future

from da3_ros.action import Export
from da3_ros.ros.entities import Entities
from da3_ros.ros.services.export import ExportCancelled, ExportServices, Written


class ExportAction:
    """The action while the node is configured."""

    def __init__(self, entities: Entities, exports: ExportServices):
        self._node, self._exports = entities.node, exports
        entities.create_action_server(
            Export,
            "~/export",
            self._execute,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    async def _execute(self, goal: ServerGoalHandle) -> Export.Result:
        # rclpy runs this where the node spins: files are written in a thread of their own.
        done = Future(executor=self._node.executor)
        threading.Thread(target=self._export, args=(goal, done), daemon=True).start()
        written: Written = await done
        if written.success:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return Export.Result(
            success=written.success, message=written.message, paths=list(written.paths)
        )

    def _export(self, goal: ServerGoalHandle, done: Future) -> None:
        request = goal.request
        formats = request.formats or self._exports.default_formats
        feedback = Export.Feedback(total=len(set(formats.split("-"))))

        def tell(name: str) -> None:
            if goal.is_cancel_requested:
                raise ExportCancelled("the export was cancelled; nothing was written")
            feedback.format = name
            goal.publish_feedback(feedback)
            feedback.done += 1

        try:
            done.set_result(self._exports.export(formats, request.name, request.options, tell))
        except Exception as error:
            self._node.note_error(error)
            done.set_result(Written(False, f"{type(error).__name__}: {error}"))
