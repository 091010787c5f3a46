"""The measured claims, side by side with the plain configuration."""
