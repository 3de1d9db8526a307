"""Training: from pictures of a style to the numbers that paint in it."""
