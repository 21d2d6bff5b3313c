"""The goals of Marina's performance: each measured side by side with what it is compared with."""
