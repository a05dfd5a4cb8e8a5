"""Names of the node's output topics, below its own name: `depth/image` is `/da3/depth/image`.

Each is written here once, for who publishes, records, leaves out, shows or counts it.
"""

DEPTH = "depth/image"
DEPTH_INFO = "depth/camera_info"
CONFIDENCE = "confidence/image"
POINTS = "points"
IMAGE = "image_rect"
CAMERA_POSE = "camera_pose"
"""Those of a camera; of a rig below the camera's name: `left/depth/image`."""

COMPRESSED = {DEPTH: f"{DEPTH}/compressedDepth", IMAGE: f"{IMAGE}/compressed"}
"""Names by which image_transport finds them beside the raw topics."""

CAMERA_POSES = "camera_poses"
PATH = "path"
ODOMETRY = "odometry"
STATUS = "status"
CLOUD_MAP = "cloud_map"
MESH_MARKER = "mesh_marker"

WRITTEN = (DEPTH, DEPTH_INFO, CONFIDENCE, POINTS, IMAGE, CAMERA_POSE, CAMERA_POSES, PATH)
"""Those that da3_process may leave out of its bag."""
