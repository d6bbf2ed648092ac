"""Weights of Keras's models for the sweeps."""

import numpy as np


def draw(model, rng):
    """Weights that keep the spread of what flows through them, statistics that are not those of a new model."""
    for layer in model._flatten_layers():
        for variable in layer._trainable_variables + layer._non_trainable_variables:
            shape, name = tuple(variable.shape), variable.path.rsplit("/", 1)[-1]
            if variable.dtype not in ("float32", "float16", "bfloat16"):
                continue
            if "variance" in name:
                value = rng.uniform(0.5, 1.5, shape)
            elif "mean" in name or "beta" in name or "bias" in name:
                value = rng.normal(0, 0.1, shape)
            elif "gamma" in name:
                value = rng.uniform(0.5, 1.2, shape)
            elif len(shape) > 1:
                depthwise = "depthwise" in name
                value = rng.normal(0, (1.4 / max(np.prod(shape[:-2] if depthwise else shape[:-1]), 1)) ** 0.5, shape)
            else:
                continue
            variable.assign(value.astype("float32"))
