"""UPerNet: decoder, auxiliary head, and the whole model."""
