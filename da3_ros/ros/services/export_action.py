"""The action ~/export (da3_ros/Export): as the service, with feedback, and it can be called off."""

from __future__ import annotations

import threading
import time
from collections import deque

from rclpy.action import CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future

from da3_ros.action import Export
from da3_ros.ros.bounds import MOST_GOALS
from da3_ros.ros.entities import Entities
from da3_ros.ros.services.export import CALLED_OFF, ExportCancelled, ExportServices, Written

RESULT_TIMEOUT = 30
"""Seconds (whole ones) for which results and their goals are kept; rclpy's default is 900."""


class ExportAction:
    """The action while the node is configured."""

    def __init__(self, entities: Entities, exports: ExportServices):
        self._node, self._exports = entities.node, exports
        self._open: set[Future] = set()  # known only where the node spins
        self._accepted_at: deque[float] = deque(maxlen=MOST_GOALS)
        entities.create_action_server(
            Export,
            "~/export",
            self._execute,
            goal_callback=self._on_goal,
            cancel_callback=lambda goal: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
            result_timeout=RESULT_TIMEOUT,
        )

    @property
    def is_open(self) -> bool:
        """Whether a goal has no result yet."""
        return bool(self._open)

    def give_up(self) -> None:
        """Abort all goals without waiting for their exports, which then leave no files."""
        for done in self._open:
            _end(done, Written(False, CALLED_OFF))

    def _on_goal(self, goal: Export.Goal) -> GoalResponse:
        """A goal that is accepted is kept until `RESULT_TIMEOUT`: not one of megabytes, and not
        hundreds a second."""
        if refusal := self._exports.refusal(goal.formats, goal.name, goal.options):
            return self._reject("request", refusal)
        accepted = self._accepted_at
        if len(accepted) == MOST_GOALS and time.monotonic() - accepted[0] < 1:
            many = f"{MOST_GOALS} came within a second; send the next one when the last is done"
            return self._reject("rate", many)
        accepted.append(time.monotonic())
        return GoalResponse.ACCEPT

    def _reject(self, cause: str, refusal: str) -> GoalResponse:
        # The client is told no reason: there is no place for it in the answer.
        self._node.log.warn(("export goal", cause), f"export goal rejected: {refusal}")
        return GoalResponse.REJECT

    async def _execute(self, goal: ServerGoalHandle) -> Export.Result:
        # rclpy runs this where the node spins: files are written in a thread of their own.
        done = Future(executor=self._node.executor)
        self._open.add(done)
        threading.Thread(target=self._export, args=(goal, done), daemon=True).start()
        written: Written = await done
        self._open.discard(done)
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
            _end(done, self._exports.export(formats, request.name, request.options, tell))
        except Exception as error:
            self._node.note_error(error)
            _end(done, Written(False, f"{type(error).__name__}: {error}"))


def _end(done: Future, written: Written) -> None:
    """Unless it has ended: an export may take longer than it is waited for."""
    if not done.done():
        done.set_result(written)
