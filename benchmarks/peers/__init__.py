"""Our numbers beside the peers' on the same cases, each peer in its own environment."""
