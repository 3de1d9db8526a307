"""The simulated audience, and the story told with the real commands."""
