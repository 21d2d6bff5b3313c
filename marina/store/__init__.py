"""From a spec to an archive one can trust."""
