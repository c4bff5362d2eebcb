"""UPerNet: decoder, auxiliary head, the whole model, and its graph for other runtimes."""
