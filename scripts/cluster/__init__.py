"""The kind cluster of `make cluster-up`, and what it takes to have one on any machine."""
