"""Servers that Marina is compared with, each as its own documentation has it, with the same network and the same pictures."""
