"""What code from outside adds: a backbone, a head, a task, a command, a format of data.

`docs/extending.md` shows it piece by piece.
"""
