"""Several processes: sharded weights, joint statistics, joint decisions."""
