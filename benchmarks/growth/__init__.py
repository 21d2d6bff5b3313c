"""How cost grows: with callers, batches, images, models, versions, workers and specs."""
