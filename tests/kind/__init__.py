"""Builds the images of the kind cluster from package registries, where they can't be pulled."""
