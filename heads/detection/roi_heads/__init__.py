"""RoI heads: pooling, box head, mask head, and the ways they are put together."""
