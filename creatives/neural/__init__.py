"""Networks: the shared transformer, the perceptual networks it is judged by, and the moments both rest on.

Everything here imports torch; nothing outside this package and ``creatives.training`` does, and only inside functions.
"""
