"""Layouts of data: one file each recognises, checks and reads one."""
