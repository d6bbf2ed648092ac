#!/usr/bin/env python3
"""Makes the TorchScript modules of this folder, and what PyTorch gives for them on drawn inputs.

    make.py [NAME...]

Writes NAME.pt beside NAME.pt.npz: inputs as `in:NAME`, numbers that the program is specialised to as `dim:NAME`, outputs as `out:NAME`, in order;
for modules that keep something between calls also the inputs and outputs of later calls as `in2:NAME`, `out2:NAME` and so on.

requirements:
    torch==2.15.0
    numpy==2.4.6
"""

import pathlib
import sys
import warnings
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
CASES = {}


def case(*inputs, way="script", calls=1, method="forward", dims=None, arguments=None, names=None):
    """Registers a module class. `inputs` are shapes, or functions that draw; `arguments` makes the method's arguments of the tensors."""
    def register(what):
        for way_ in way.split("+"):
            name = what.__name__.lower() + {"script": "", "trace": "_traced", "freeze": "_frozen"}[way_]
            CASES[name] = (what, inputs, way_, calls, method, dims or {}, arguments or (lambda *x: x), names)
        return what
    return register


def ints(low, high, *shape):
    return lambda g: torch.randint(low, high, shape, generator=g)


def draw(spec, generator):
    return spec(generator) if callable(spec) else torch.randn(spec, generator=generator)


def leaves(result, prefix=""):
    if isinstance(result, torch.Tensor):
        yield prefix or "output", result.numpy()
    elif isinstance(result, (bool, int, float)):
        yield prefix or "output", np.asarray(result)
    elif isinstance(result, dict) or hasattr(result, "_fields"):
        for key, item in (result if isinstance(result, dict) else result._asdict()).items():
            yield from leaves(item, f"{prefix}_{key}" if prefix else key)
    elif result is not None:
        for at, item in enumerate(result):
            yield from leaves(item, f"{prefix}_{at}" if prefix else f"output_{at}")


@case((2, 3, 9, 11), way="script+trace+freeze")
class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, (3, 1), padding=(1, 0), groups=4, bias=False), nn.GELU(),
            nn.Conv2d(8, 6, 3, padding="same", dilation=2), nn.Hardswish(inplace=True), nn.GroupNorm(3, 6),
            nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1), nn.InstanceNorm2d(4), nn.SiLU())
        self.pool, self.head, self.drop = nn.AdaptiveAvgPool2d((2, 1)), nn.Linear(8, 5), nn.Dropout(0.3)
        self.layers[1].running_mean.uniform_(-0.5, 0.5)
        self.layers[1].running_var.uniform_(0.5, 1.5)

    def forward(self, x):
        x = F.max_pool2d(self.layers(x), 3, 2, 1, ceil_mode=True)
        return torch.log_softmax(self.head(self.drop(torch.flatten(self.pool(x), 1))), 1)


@case((3, 5, 8), way="script+trace")
class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.up, self.down = nn.LayerNorm(8), nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x):
        y, weights = self.attention(x, x, x)
        x = self.norm(x + y)
        return x + self.down(F.gelu(self.up(x), approximate="tanh")), weights


@case((4, 2, 3), ints(0, 7, 2, 4), way="script+trace")
class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.gru = nn.GRU(5, 3, batch_first=True)
        self.table = nn.Embedding(7, 5, padding_idx=0)
        self.cell, self.gate = nn.LSTMCell(3, 3), nn.GRUCell(3, 3)

    def forward(self, x, ids):
        y, (h, c) = self.lstm(x)
        z, last = self.gru(self.table(ids))
        a, b = self.cell(last[0])
        return {"y": y, "h": h, "c": c, "z": z, "a": self.gate(a, b)}


@case((2, 6, 4), way="script+trace+freeze")
class Shapes(nn.Module):
    """Sizes are read and computed with."""

    def forward(self, x):
        b, n, c = x.shape
        heads = x.reshape(b, n, 2, c // 2).permute(0, 2, 1, 3)
        parts = torch.cat(torch.chunk(heads, 2, dim=2), dim=-1)
        grid = torch.arange(n, dtype=torch.float32).view(1, n, 1).expand(b, -1, c)
        return parts, x.flatten(1)[:, ::3], grid * x.size(-1), x.new_zeros(n, b).t() + x.numel()


@case((3, 4), way="script+trace")
class Writes(nn.Module):
    """Tensors and views of them are written to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tensor([[True, False, True, False]]))

    def forward(self, x):
        y = x.clone()
        y[:, 1] = 5
        y[1:, 2:] += 1
        view = y[0]
        view.mul_(2)
        y.masked_fill_(self.mask, -1.0)
        z = torch.zeros_like(x)
        z[..., 0].copy_(x[:, 3])
        z[1::2].add_(y[1], alpha=0.5)
        return y, z, torch.relu_(x * 2)


class Pair(NamedTuple):
    first: Tensor
    count: int


@case((2, 4))
class Python(nn.Module):
    """Lists, dictionaries, tuples, text, numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.named = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
        self.table: Dict[str, int] = {"one": 1, "two": 2}
        self.factors: List[float] = [0.5, float("inf"), -1.5]
        self.kind = "wide"

    def pair(self, x: Tensor, n: int = 3) -> Pair:
        return Pair(x * n, n // 2)

    def forward(self, x: Tensor, scale: Optional[Tensor] = None, flag: bool = True) -> Dict[str, Tensor]:
        outs: List[Tensor] = []
        for at, layer in enumerate(self.layers):
            x = layer(x) + at
            outs.append(x)
        for name, layer in self.named.items():
            if name == "b" or flag:
                x = layer(x)
        if scale is None:
            scale = torch.ones(1)
        assert x.dim() == 2, f"expected 2 axes, not {x.dim()}"
        sizes = [n * 2 + 1 for n in list(range(4))]
        sizes.extend([7, -7 // 2, 7 % -3])
        sizes.sort()
        total = 0
        while total < 10:
            total += max(sizes) - len(sizes) + 3
        pair = self.pair(x)
        best = min(self.factors[0], 2.5) if self.kind.startswith("w") else 0.0
        joined = "-".join(["a", self.kind]).upper()
        if joined != "A-WIDE":
            raise ValueError("text")
        number = sum(sizes) + self.table["two"] + pair.count + int(2.9) + round(1.5)
        where = 3 in sizes or "one" in self.table
        (a, b), c = (x, scale), [1, 2, 3][-1]
        return {"x": a * b + number, "stack": torch.stack(outs[1:]), "pair": pair.first * best + float(where) + c + total, "sizes": torch.tensor(sizes)}


@case((2, 3), (2, 3), way="script")
class Branches(nn.Module):
    """What is done depends on the values of tensors."""

    def forward(self, x: Tensor, y: Tensor):
        n = 1
        kind = 0.5
        if bool((x > y).all()):
            z = x - y
            n = 3
        else:
            z = x * y + 1
            if float(y.sum()) > 0:
                z = z * 2
                kind = 1.5
            x = x + 1
        w = x.clone()
        if x[0, 0] > 0:
            w[1] = 7
        elif x[0, 1] > 0:
            w[:, 2] = -7
        if z.max() < -1e9:
            raise ValueError("far")
        return z * n + kind, w, x


@case((2, 3), calls=3)
class Counts(nn.Module):
    """A buffer and numbers change with each call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.tensor([0.5, -1.0, 2.0]))
        self.calls = 0
        self.rate = 1.0

    def forward(self, x: Tensor):
        self.total += x.sum(0)
        self.calls += 1
        self.rate = self.rate * 0.5
        return x * self.rate + self.total * self.calls


@case((2, 3), calls=3)
class Remembers(nn.Module):
    """What is kept is not there before the first call."""

    last: Optional[Tensor]

    def __init__(self):
        super().__init__()
        self.last = None
        self.seen = torch.zeros(0)
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor):
        x = self.layer(x)
        last = self.last
        y = x if last is None else x + last * 2
        if len(self.seen) == 0:
            self.seen = torch.zeros(2, 3)
        self.seen = torch.cat([self.seen[:, 1:], x[:, :1]], 1)
        self.last = y
        return y, self.seen


@case((1, 8), calls=3)
class Warms(nn.Module):
    """What is kept begins with zeros that the first call makes, so that one program does for all calls."""

    def __init__(self):
        super().__init__()
        self.state = torch.zeros(0)
        self.size = 0

    def forward(self, x: Tensor):
        if self.size != x.size(0):
            self.state = torch.zeros(0)
        if not len(self.state):
            self.state = torch.zeros(x.size(0), 3)
        y = torch.cat([self.state, x], 1)
        self.state = y[:, -3:]
        self.size = x.size(0)
        return y.cumsum(1)


@case((2, 6), (3,), dims={"times": 3, "wide": 1}, arguments=lambda x, y: (x, 3, True, y))
class Numbers(nn.Module):
    def forward(self, x: Tensor, times: int, wide: bool, y: Tensor):
        for _ in range(times):
            x = x[:, 1:] * y[0] if wide else x
        return x


@case((2, 3), method="other")
class Methods(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor):
        return self.layer(x)

    @torch.jit.export
    def other(self, x: Tensor):
        return self.forward(x).tanh(), x.sum()


@case((2, 3), (2, 3), (3,), way="trace", arguments=lambda a, b, c: ([a, b], {"k": c}), names=["xs_0", "xs_1", "more_k"])
class Containers(nn.Module):
    def forward(self, xs: List[Tensor], more: Dict[str, Tensor]):
        return xs[0] + xs[1] * more["k"], (xs[0] - 1, [xs[1] * 2])


@case((2, 4, 5, 5), way="trace+script")
class Images(nn.Module):
    def __init__(self):
        super().__init__()
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        a = F.interpolate(x, scale_factor=2.0, mode="nearest")
        b = F.interpolate(x, size=[7, 3], mode="bilinear", align_corners=False)
        c = F.interpolate(x, scale_factor=1.5, mode="bicubic", align_corners=True)
        d = F.pad(x, [1, 2, 0, 1], mode="reflect")
        return a, b, c, d, self.shuffle(x), F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), F.unfold(x, 3)


@case((4, 6), way="trace+freeze")
class Tied(nn.Module):
    """Weights that are shared, transposed, cut out of others, or lie otherwise than row by row."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6, bias=False)
        self.second = nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight
        base = torch.randn(8, 6)
        self.register_buffer("turned", base.t())
        self.register_buffer("part", base[2:5, ::2])
        self.register_buffer("wide", torch.randn(6).expand(4, 6))
        self.conv = nn.Conv1d(6, 3, 3).to(memory_format=torch.preserve_format)
        self.low = nn.Parameter(torch.randn(6, 6).half())
        self.fine = nn.Parameter(torch.randn(6).double())

    def forward(self, x):
        y = self.second(torch.tanh(self.first(x)))
        y = y + (y @ self.turned)[:, :6] + self.wide + F.linear(x[:, ::2], self.part).sum()
        return y @ self.low.float() + self.fine.float(), self.conv(y.t().unsqueeze(0).transpose(1, 2).expand(2, 4, 6).transpose(1, 2))


@torch.jit.script
class Tracker:
    def __init__(self, start: float):
        self.value = start

    def step(self, by: float) -> float:
        self.value = self.value * by + 1.0
        return self.value


@case((2, 3))
class Classes(nn.Module):
    """Instances of scripted classes."""

    def forward(self, x: Tensor):
        tracker = Tracker(0.5)
        for at in range(3):
            x = x * tracker.step(1.5) + at
        with torch.no_grad():
            x = x + 1
        return x


@case(lambda g: torch.rand(3, 4, generator=g) + 0.1, ints(2, 6, 1))
class Loops(nn.Module):
    """Loops whose counts tensors say."""

    def forward(self, x: Tensor, times: Tensor):
        steps = 0
        while bool(x.mean() < 20.0) and steps < 30:
            x = x * 1.5 + 0.1
            steps += 1
        total = torch.zeros_like(x)
        for at in range(int(times[0])):
            total = total + x * at
        return x, steps, total


@case((2, 64), way="script+trace+freeze")
class Speech(nn.Module):
    """A spectrogram, what a model does to it, and the signal back."""

    def __init__(self):
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, x):
        z = torch.stft(x, 16, 4, window=self.window, return_complex=True)
        y = torch.istft(torch.polar(torch.sqrt(z.abs()), z.angle()), 16, 4, window=self.window)
        return z.abs(), torch.view_as_real(z).permute(0, 3, 2, 1), y, torch.fft.irfft(torch.fft.rfft(x)[:, :20] * 2, n=40)


@case((2, 6, 3, 8), way="script+trace")
class Turned(nn.Module):
    """Positions as angles of complex numbers."""

    def __init__(self):
        super().__init__()
        angles = torch.outer(torch.arange(6.0), 0.3 ** torch.arange(4.0))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles))

    def forward(self, x):
        y = torch.view_as_complex(x.reshape(x.size(0), x.size(1), 3, 4, 2))
        y = y * self.turns.view(1, y.size(1), 1, -1)
        return torch.view_as_real(y).flatten(3)


def save(name, what, inputs, way, calls, method, dims, arguments, names):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    module = what().eval()
    rounds = [[draw(spec, generator) for spec in inputs] for _ in range(calls)]
    with torch.no_grad():
        if way == "trace":
            program = torch.jit.trace(module, arguments(*rounds[0]), strict=False)
        else:
            program = torch.jit.script(module)
            if way == "freeze":
                program = torch.jit.freeze(program)
        program.save(str(HERE / f"{name}.pt"))
        program = torch.jit.load(str(HERE / f"{name}.pt"))
        if names is None:
            schema = getattr(program, method).schema.arguments[1:]
            names = [argument.name for argument in schema if argument.name not in dims and str(argument.type) == "Tensor"]
        stored = {f"dim:{key}": np.asarray(value) for key, value in dims.items()}
        for at, tensors in enumerate(rounds, 1):
            count = "" if at == 1 else str(at)
            stored |= {f"in{count}:{key}": x.numpy().copy() for key, x in zip(names, tensors)}
            result = getattr(program, method)(*arguments(*[x.clone() for x in tensors]))
            stored |= {f"out{count}:{key}": value.copy() for key, value in leaves(result)}
    signature = "" if method == "forward" else f"@{method}"
    np.savez(HERE / f"{name}.pt{signature}.npz", **stored)


def main(*wanted):
    warnings.simplefilter("ignore")
    for name, given in CASES.items():
        if not wanted or name in wanted:
            save(name, *given)
            print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
