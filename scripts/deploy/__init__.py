"""`make deploy` and its kin: an environment's values -> chart -> a cluster."""
