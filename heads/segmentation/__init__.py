"""UPerNet: the whole model, its heads, resizing, and inference in one piece or in windows."""
