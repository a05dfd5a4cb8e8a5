"""The map: depth fused into a surface, meshes, and depth rendered from them."""
