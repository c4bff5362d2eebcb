"""Features of many images in a folder: tar shards of safetensors, their indexes, and the reader."""
