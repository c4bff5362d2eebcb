"""COCO's panoptic format: a JSON file, and a PNG for each image whose colours are ids."""
