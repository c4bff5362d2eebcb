"""Operators that take most of a forward's time, done the fastest way where the forward runs."""
