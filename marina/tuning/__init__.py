"""How a model is best served on this machine: what there is to choose, and what the choices are worth, by measurement."""
