"""One module per make verb that needs more than a line."""
