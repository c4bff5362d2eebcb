"""Layouts of detection data besides COCO's own: one file each recognises and reads one."""
