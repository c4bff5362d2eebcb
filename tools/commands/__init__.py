"""The commands: a file each, found by the command line in this folder."""
