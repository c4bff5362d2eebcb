"""Training of Mask2Former: points, matching of queries with objects, losses."""
