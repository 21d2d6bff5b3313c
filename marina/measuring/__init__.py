"""What a server bears: a load that is put on it, and what is measured of it."""
