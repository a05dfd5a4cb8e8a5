"""Parameters of the node or of `da3_process` with which a picture takes milliseconds."""

TINY = {
    "model.name": "da3-demo",
    "model.device": "cpu",
    "model.process_res": 56,
    "window.size": 2,
    "pose.timeout": 0.5,
    "input.reliability": "reliable",
}
