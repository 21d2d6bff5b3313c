"""Versions side by side: the split between them, shadows, rollouts, the record of traffic, the verdict."""
