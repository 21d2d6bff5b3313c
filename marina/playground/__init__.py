"""A page in the browser: one input, every arm's answer side by side."""
