"""The example's tasks: the part of this project that a user replaces."""
