"""What rclpy leaves open about lifecycle nodes.

The only module that looks into them: `_state_machine.current_state` and the callback of the
service are the same in Humble (3.3) and Lyrical (10.0) by their sources, and in Jazzy (7.1) and
Kilted (9.1), where they are run.
"""

from __future__ import annotations

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode

from da3_ros.net.plain_text import plain


def current_state(node: LifecycleNode) -> str:
    """In words: unconfigured, inactive, active, finalized, or a transition's."""
    return node._state_machine.current_state[1]


def answer_impossible_transitions(node: LifecycleNode) -> None:
    """Let `change_state` answer `success: false` where the transition is not possible now.

    On Humble and Jazzy the error leaves the callback, nothing is answered, and
    `ros2 lifecycle set` and every manager wait for ever. Kilted and later answer by themselves.
    """
    (service,) = (s for s in node.services if s.srv_type is ChangeState)
    change_state = service.callback

    def answer(request: ChangeState.Request, response: ChangeState.Response):
        try:
            return change_state(request, response)
        except RuntimeError as error:  # RCLError
            wanted = plain(request.transition.label) or request.transition.id
            sentence = f"transition {wanted} is not possible now: {error}"
            node.get_logger().error(sentence, throttle_duration_sec=1.0)
            response.success = False
            return response

    service.callback = answer
