"""The Depth Anything 3 network in torch: images and cameras in, raw maps out."""
