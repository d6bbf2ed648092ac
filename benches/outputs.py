"""Frit's outputs beside an oracle's, and what is said of a command that fails.

In: the arrays of two npz files; a command line. Out: how far the outputs are off; the command's output. Raises Failed.
"""

import pathlib
import subprocess

import numpy as np

ABSOLUTE, RELATIVE = 1e-4, 1e-3


class Failed(Exception):
    """A model that is wrong or could not be run; the text says why."""


def call(*command):
    """Runs a command."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        # Of a traceback the last line says what was wrong.
        why = said[-1] if said[0].startswith("Traceback") else " ".join(said[:4])
        raise Failed(f"{pathlib.Path(command[0]).name} {pathlib.Path(command[1]).name} ended with {done.returncode}: {why[:400]}")
    return done


def compare(got, expected):
    """Compares outputs by name: floats to the tolerance, everything else exactly. The largest difference of finite floats."""
    off = 0.0
    for name in expected.files:
        if name not in got.files:
            raise Failed(f"output {name} is missing")
        a, b = got[name], expected[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise Failed(f"output {name} is {a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}")
        if b.dtype.kind != "f":
            if not np.array_equal(a, b):
                raise Failed(f"output {name} is wrong")
            continue
        if not np.allclose(a, b, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
            difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
            raise Failed(f"output {name} is wrong, by {np.nanmax(difference):.3g} at most, where the largest element is {np.nanmax(np.abs(b)):.3g}")
        if b.size:
            off = max(off, float(np.max(np.abs(a - b), where=np.isfinite(b), initial=0)))
    return off
