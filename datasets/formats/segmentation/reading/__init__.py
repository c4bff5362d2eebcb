"""Reading of label maps: what they hold, and what that means."""
