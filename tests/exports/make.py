"""Makes the exports beside it: small blocks of networks, as the exporters of PyTorch and TensorFlow and the quantiser of ONNX Runtime
write them.

    python tests/exports/make.py torch [BLOCK..]      # needs torch; onnx, onnxscript for ONNX
    python tests/exports/make.py tensorflow [BLOCK..] # needs tensorflow-cpu; tf2onnx for ONNX
    python tests/exports/make.py onnxruntime          # needs onnx, onnxruntime

For each block BLOCK (all without arguments) and way WAY of exporting it: BLOCK.WAY.onnx, and BLOCK.FRAMEWORK.npz with drawn inputs (0, 1, ..) and
the framework's own outputs for them (out0, ..). Weights and inputs are the same for all ways. The frameworks' own formats are beside them:
BLOCK.torch-export.pt2, BLOCK.torch-core.pt2 (decomposed), BLOCK.torch-traced.pt, BLOCK.tensorflow-graph.pb, BLOCK.tensorflow-lite.tflite.
"""

import importlib.util
import math
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent / "frameworks"))
from anonymise import anonymise  # noqa: E402
WIDTH, HEADS, TIME, BATCH = 8, 2, 5, 2


class Draw:
    """Numbers that only depend on a seed."""

    def __init__(self, seed):
        self.source = np.random.default_rng(seed)

    def __call__(self, *shape, scale=1.0, shift=0.0):
        return (self.source.standard_normal(shape) * scale + shift).astype(np.float32)


def weights(block):
    """The weights of a block, by name; matrices as [in, out], filters as [out, in, height, width]."""
    draw = Draw(len(block))
    found = {}
    if block in ("written", "algebra", "quantised", "reduces"):
        return found
    if block in ("lstm", "gru"):
        gates = 4 if block == "lstm" else 3
        found["input"], found["recurrent"] = draw(WIDTH, gates * WIDTH, scale=0.4), draw(WIDTH, gates * WIDTH, scale=0.4)
        found["input_bias"], found["recurrent_bias"] = draw(gates * WIDTH, scale=0.2), draw(gates * WIDTH, scale=0.2)
    elif block == "inverted":
        found["first"], found["depth"], found["project"] = draw(WIDTH, 3, 3, 3, scale=0.4), draw(WIDTH, 1, 3, 3, scale=0.6), draw(WIDTH, WIDTH, 1, 1, scale=0.4)
        found["squeeze"], found["squeeze_bias"] = draw(2, WIDTH, 1, 1, scale=0.4), draw(2, scale=0.2)
        found["expand"], found["expand_bias"] = draw(WIDTH, 2, 1, 1, scale=0.4), draw(WIDTH, scale=0.2)
        for name in ("norm1", "norm2", "norm3"):
            found[name], found[name + "_bias"] = draw(WIDTH, scale=0.3, shift=1.0), draw(WIDTH, scale=0.3)
            found[name + "_mean"], found[name + "_variance"] = draw(WIDTH, scale=0.3), np.abs(draw(WIDTH, scale=0.3)) + 0.5
    elif block == "grouped":
        found["first"], found["first_bias"] = draw(16, 2, 3, 3, scale=0.4), draw(16, scale=0.2)
        found["second"] = draw(16, 1, 3, 3, scale=0.4)
    elif block == "branches":
        for name in ("first", "second", "third"):
            found[name], found[name + "_bias"] = draw(WIDTH, WIDTH, 3, 3, scale=0.3), draw(WIDTH, scale=0.2)
        found["linear"], found["down"], found["up"] = draw(WIDTH, WIDTH, scale=0.4), draw(WIDTH, 2, scale=0.4), draw(2, WIDTH, scale=0.4)
    elif block == "decoder":
        found["up"], found["up_bias"] = draw(4, 4, 2, 2, scale=0.4), draw(4, scale=0.2)
        found["down"], found["down_bias"] = draw(4, 4, 3, 3, scale=0.4), draw(4, scale=0.2)
        found["head"], found["head_bias"], found["gamma"] = draw(4, 8, scale=0.4), draw(8, scale=0.2), draw(8, scale=0.3)
        for name in ("norm1", "norm2"):
            found[name], found[name + "_bias"] = draw(4, scale=0.3, shift=1.0), draw(4, scale=0.3)
            found[name + "_mean"], found[name + "_variance"] = draw(4, scale=0.3), np.abs(draw(4, scale=0.3)) + 0.5
    elif block in ("bert", "gpt", "sdpa", "llama", "swiglu", "masked", "rotary", "half"):
        for name in ("q", "k", "v", "o"):
            found[name] = draw(WIDTH, WIDTH, scale=0.4)
            found[name + "_bias"] = draw(WIDTH, scale=0.2)
        for name in ("norm1", "norm2"):
            found[name] = draw(WIDTH, scale=0.3, shift=1.0)
            found[name + "_bias"] = draw(WIDTH, scale=0.3)
        found["up"], found["up_bias"] = draw(WIDTH, 16, scale=0.4), draw(16, scale=0.2)
        found["gate"] = draw(WIDTH, 16, scale=0.4)
        found["down"], found["down_bias"] = draw(16, WIDTH, scale=0.4), draw(WIDTH, scale=0.2)
    else:
        for name, (to, of) in {"first": (4, 3), "second": (4, 4), "third": (4, 4)}.items():
            found[name], found[name + "_bias"] = draw(to, of, 3, 3, scale=0.4), draw(to, scale=0.2)
        for name in ("norm1", "norm2"):
            found[name], found[name + "_bias"] = draw(4, scale=0.3, shift=1.0), draw(4, scale=0.3)
    return found


def inputs(block):
    draw = Draw(100 + len(block))
    if block == "bert":
        mask = np.zeros((BATCH, 1, 1, TIME), np.float32)
        mask[1, ..., 3:] = -10000
        return [draw(BATCH, TIME, WIDTH), mask]
    if block == "written":
        return [draw(14, BATCH, TIME, WIDTH)]
    if block == "masked":
        # The second sequence is shorter, and of the third nothing counts.
        lengths = np.array([TIME, 3, 0])
        return [draw(3, TIME, WIDTH), np.arange(TIME) < lengths[:, None, None, None]]
    if block == "rotary":
        return [draw(BATCH, TIME, WIDTH), np.array([[0, 1, 2, 3, 4], [0, 0, 7, 8, 9]])]
    if block in ("gpt", "sdpa", "llama", "swiglu", "lstm", "gru"):
        return [draw(BATCH, TIME, WIDTH)]
    if block == "half":
        return [draw(BATCH, TIME, WIDTH).astype(np.float16)]
    if block == "grouped":
        return [draw(1, WIDTH, 6, 6)]
    if block == "inverted":
        return [draw(1, 3, 9, 9)]
    if block == "branches":
        return [draw(1, WIDTH, 5, 5)]
    if block.startswith("residual"):
        return [draw(BATCH, 3, 21, 18)]
    if block == "decoder":
        return [draw(1, 4, 3, 3)]
    if block == "reduces":
        return [draw(3, 2, 4, 6)]
    if block == "quantised":
        return [draw(2, 4, 8, 8)]
    if block == "algebra":
        return [np.abs(draw(12, BATCH, TIME, WIDTH)) + 0.1, np.arange(BATCH * TIME).reshape(BATCH, TIME)]
    return [draw(1, 3, 6, 6, scale=2.0)]


def rotary_tables():
    size = WIDTH // HEADS
    angles = np.outer(np.arange(TIME), 10000.0 ** (-np.arange(0, size, 2) / size))
    return [np.concatenate([f(angles)] * 2, axis=-1).astype(np.float32) for f in (np.cos, np.sin)]


# The ops of the exports that were made, by block: an export that is the same as one before it is dropped.
MADE = {}


# PyTorch.


def torch_blocks():
    import torch
    import torch.nn.functional as F

    class Block(torch.nn.Module):
        def __init__(self, block):
            super().__init__()
            for name, value in weights(block).items():
                # PyTorch has matrices as [out, in].
                self.register_parameter(name + "_" * hasattr(self, name), torch.nn.Parameter(torch.from_numpy(value.T.copy() if value.ndim == 2 else value), requires_grad=False))

        def linear(self, x, name, bias=True):
            return F.linear(x, getattr(self, name), getattr(self, name + "_bias") if bias else None)

        def heads(self, x, name, bias=True):
            return self.linear(x, name, bias).view(BATCH, TIME, HEADS, WIDTH // HEADS).transpose(1, 2)

        def joined(self, x):
            return x.transpose(1, 2).reshape(BATCH, TIME, WIDTH)

        def layer_norm(self, x, name):
            return F.layer_norm(x, (WIDTH,), getattr(self, name), getattr(self, name + "_bias"), 1e-5)

        def conv(self, x, name):
            return F.conv2d(x, getattr(self, name), getattr(self, name + "_bias"), padding=1)

        def batch_norm(self, x, name):
            return F.batch_norm(x, getattr(self, name + "_mean"), getattr(self, name + "_variance"), getattr(self, name), getattr(self, name + "_bias"), eps=1e-5)

    class Bert(Block):
        def forward(self, x, mask):
            q, k, v = (self.heads(x, name) for name in "qkv")
            scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + mask
            y = self.joined(torch.softmax(scores, -1) @ v)
            x = self.layer_norm(x + self.linear(y, "o"), "norm1")
            y = self.linear(F.gelu(self.linear(x, "up")), "down")
            return self.layer_norm(x + y, "norm2")

    class Gpt(Block):
        def __init__(self, block):
            super().__init__(block)
            self.register_buffer("seen", torch.tril(torch.ones(TIME, TIME, dtype=torch.bool)))

        def forward(self, x):
            y = self.layer_norm(x, "norm1")
            q, k, v = (self.heads(y, name) for name in "qkv")
            scores = q @ k.transpose(-1, -2) * (1.0 / math.sqrt(WIDTH // HEADS))
            scores = scores.masked_fill(~self.seen, float("-inf"))
            x = x + self.linear(self.joined(torch.softmax(scores, -1) @ v), "o")
            y = self.linear(self.layer_norm(x, "norm2"), "up")
            y = 0.5 * y * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (y + 0.044715 * torch.pow(y, 3.0))))
            return x + self.linear(y, "down")

    class Sdpa(Block):
        def forward(self, x):
            y = self.layer_norm(x, "norm1")
            q, k, v = (self.heads(y, name) for name in "qkv")
            x = x + self.linear(self.joined(F.scaled_dot_product_attention(q, k, v)), "o")
            y = self.linear(self.layer_norm(x, "norm2"), "up")
            return x + self.linear(F.gelu(y, approximate="tanh"), "down")

    class Llama(Block):
        def __init__(self, block):
            super().__init__(block)
            self.register_buffer("cos", torch.from_numpy(rotary_tables()[0]))
            self.register_buffer("sin", torch.from_numpy(rotary_tables()[1]))

        def rms_norm(self, x, name):
            wide = x.to(torch.float32)
            size = wide.pow(2).mean(-1, keepdim=True)
            return getattr(self, name) * (wide * torch.rsqrt(size + 1e-6)).to(x.dtype)

        def rotated(self, x):
            half = x.shape[-1] // 2
            turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
            return x * self.cos + turned * self.sin

        def forward(self, x):
            y = self.rms_norm(x, "norm1")
            q, k = (self.rotated(self.heads(y, name, False)) for name in "qk")
            y = F.scaled_dot_product_attention(q, k, self.heads(y, "v", False), is_causal=True)
            x = x + self.linear(self.joined(y), "o", False)
            y = self.rms_norm(x, "norm2")
            y = F.silu(self.linear(y, "gate", False)) * self.linear(y, "up", False)
            return x + self.linear(y, "down", False)

    class Swiglu(Block):
        """Both halves out of one product."""

        def forward(self, x):
            y = F.linear(x, torch.cat((self.gate, self.up), 0))
            gate, up = y.chunk(2, -1)
            return self.linear(F.silu(gate) * up, "down", False)

    class Masked(Block):
        """Scores that are replaced: by a number, as in the first transformers; by the least one, as in GPT-2."""

        def __init__(self, block):
            super().__init__(block)
            self.register_buffer("seen", torch.tril(torch.ones(TIME, TIME, dtype=torch.bool)))

        def split(self, x, name):
            return self.linear(x, name).view(3, TIME, HEADS, WIDTH // HEADS).transpose(1, 2)

        def forward(self, x, mask):
            q, k, v = (self.split(x, name) for name in "qkv")
            scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS)
            scores = scores.masked_fill(mask == 0, -1e9)
            x = x + self.linear((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(3, TIME, WIDTH), "o")
            x = self.layer_norm(x, "norm1")
            q, k, v = (self.split(x, name) for name in "qkv")
            scores = q @ k.transpose(-1, -2)
            scores = torch.where(self.seen, scores, torch.finfo(scores.dtype).min)
            return x + self.linear((torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(3, TIME, WIDTH), "o")

    class Rotary(Block):
        """Angles of positions that are inputs."""

        def __init__(self, block):
            super().__init__(block)
            size = WIDTH // HEADS
            self.register_buffer("frequencies", 10000.0 ** (-torch.arange(0, size, 2) / size))

        def forward(self, x, positions):
            angles = (self.frequencies[None, :, None].expand(BATCH, -1, 1) @ positions[:, None, :].float()).transpose(1, 2)
            angles = torch.cat((angles, angles), -1)
            cos, sin = angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)

            def rotated(x):
                half = x.shape[-1] // 2
                return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin

            q, k = (rotated(self.heads(x, name, False)) for name in "qk")
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS), -1) @ self.heads(x, "v", False)
            return x + self.linear(self.joined(y), "o", False)

    class Half(Block):
        """Normalisations in single precision of values in half precision."""

        def rms_norm(self, x, name):
            wide = x.to(torch.float32)
            wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
            return getattr(self, name).half() * wide.to(x.dtype)

        def forward(self, x):
            y = self.rms_norm(x, "norm1")
            x = x + F.linear(y, self.q.half())
            y = F.layer_norm(x.float(), (WIDTH,), eps=1e-5).to(x.dtype) * self.norm2.half() + self.norm2_bias.half()
            return x + F.linear(y, self.k.half())

    class Lstm(Block):
        def forward(self, x):
            h, c = torch.zeros(BATCH, WIDTH), torch.zeros(BATCH, WIDTH)
            outputs = []
            for t in range(TIME):
                h, c = torch.lstm_cell(x[:, t], (h, c), self.input, self.recurrent, self.input_bias, self.recurrent_bias)
                outputs.append(h)
            return torch.stack(outputs, 1)

    class Gru(Block):
        def forward(self, x):
            h = torch.zeros(BATCH, WIDTH)
            outputs = []
            for t in range(TIME):
                h = torch.gru_cell(x[:, t], h, self.input, self.recurrent, self.input_bias, self.recurrent_bias)
                outputs.append(h)
            return torch.stack(outputs, 1)

    class Grouped(Block):
        """Groups of channels that are convolved apart and joined, of some channels and of one."""

        def forward(self, x):
            parts = zip(x.chunk(4, 1), self.first.chunk(4, 0), self.first_bias.chunk(4, 0))
            x = F.relu(torch.cat([F.conv2d(part, w, b, padding=1) for part, w, b in parts], 1))
            return torch.cat([F.conv2d(part, w, padding=1) for part, w in zip(x.split(1, 1), self.second.split(1, 0))], 1)

    class Branches(Block):
        """Branches that are summed: convolutions before they are made one, a product with an adapter of low rank."""

        def forward(self, x):
            x = F.relu(self.conv(x, "first") + self.conv(x, "second") + self.conv(x, "third"))
            x = F.relu(F.conv2d(x, self.first, padding=1) + F.conv2d(x, self.second, padding=1))
            x = x.flatten(2).transpose(1, 2)
            x = F.relu(F.linear(x, self.linear_, self.first_bias) + F.linear(F.linear(x, self.down), self.up) * 0.5)
            return F.linear(x, self.linear_) + F.linear(F.linear(x, self.down), self.up)

    class Reduces(Block):
        def forward(self, x):
            a, b, c = x.unbind(0)
            stacked = torch.stack((a * 2, torch.tanh(b), c.exp()))
            places = a.flatten(1).mean(-1, keepdim=True).unsqueeze(-1)
            repeated = b.unsqueeze(1).expand(-1, 5, -1, -1)
            return stacked.mean(0) + stacked.sum(0) + stacked.amax(0) + places + repeated.mean(1) + repeated.amax(1)

    class Decoder(Block):
        def forward(self, x):
            x = F.relu(self.batch_norm(F.conv_transpose2d(x, self.up, self.up_bias, stride=2), "norm1"))
            x = F.relu(self.batch_norm(F.conv_transpose2d(x, self.up, stride=2), "norm2"))
            # The uneven margin of strided convolutions in networks that come from TensorFlow.
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), self.down, self.down_bias, stride=2)
            x = x.flatten(2).transpose(1, 2)
            return self.gamma * self.linear(x, "head")

    class Inverted(Block):
        """Inverted residuals, as mobile networks have them: margins as TensorFlow's, a gate for each channel, a sum, joined parts."""

        def forward(self, x):
            x = F.relu6(self.batch_norm(F.conv2d(F.pad(x, (0, 1, 0, 1)), self.first, stride=2), "norm1"))
            y = F.relu6(self.batch_norm(F.conv2d(x, self.depth, padding=1, groups=WIDTH), "norm2"))
            gate = F.relu(F.conv2d(y.mean((2, 3), keepdim=True), self.squeeze, self.squeeze_bias))
            y = y * torch.sigmoid(F.conv2d(gate, self.expand, self.expand_bias))
            y = self.batch_norm(F.conv2d(y, self.project), "norm3")
            return torch.cat((x + y, F.max_pool2d(x, 3, 1, 1)), 1)

    class Quantised(Block):
        """Values as training with simulated quantisation leaves them."""

        def forward(self, x):
            def quantised(x, scale=0.05, zero=0):
                return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)

            a = F.relu(quantised(x))
            a = F.max_pool2d(quantised(a), 2)
            b = quantised(a[:, :2]) + 0.25
            joined = torch.cat((quantised(a), quantised(b, 0.05)), 1)
            return quantised(joined)[:, 1:5] * 2

    class Algebra(Block):
        """What people write, and what is left where a part is switched off."""

        def forward(self, x, places):
            a = x.unbind(0)
            scale, offset, power = 1.0, 0.0, 1.0
            low, high = torch.tensor(0.25), torch.tensor(0.75)
            keep = torch.ones(BATCH, 1, 1, dtype=torch.bool)
            picked = ((places + 0) + 1 + 1) * 3 * 5
            return torch.stack((
                -(-a[0]) / scale - offset,
                a[1].pow(power) + torch.sign(a[1]) * a[1].abs().pow(0.5),
                a[2].pow(-0.5),
                a[3].pow(-1.0),
                F.relu(F.relu(a[4] - 0.5)),
                torch.min(torch.max(a[5], low), high),
                torch.clamp(F.relu(a[6] - 0.5), max=6.0) + F.relu6(F.relu(a[4])),
                torch.clamp(torch.clamp(a[7], 0.25, 2.0), 0.5, 4.0),
                torch.where(keep, a[8], a[7]) + torch.where(~keep, a[7], a[8]),
                (a[9] * a[0][:1].expand(BATCH, -1, -1) + a[0][:1, :1].expand(BATCH, 1, -1).expand(BATCH, TIME, -1)).double().float(),
                torch.cat((a[10],), 1) + a[10][:1].sum(0, keepdim=True),
                a[11] + F.adaptive_avg_pool2d(a[11][:, :1, :1].unsqueeze(-1), 1).squeeze(-1) + picked.float().unsqueeze(-1),
            ))

    class Activations(Block):
        def forward(self, x):
            x = F.silu(self.conv(x, "first"))
            x = F.mish(F.hardswish(self.conv(x, "second")))
            x = F.softplus(self.conv(x, "third"))
            return x * F.hardsigmoid(x.mean((2, 3), keepdim=True))

    class Norms(Block):
        def forward(self, x):
            x = F.group_norm(self.conv(x, "first"), 2, self.norm1, self.norm1_bias, 1e-5)
            x = self.conv(F.silu(x), "second")
            return F.instance_norm(x, weight=self.norm2, bias=self.norm2_bias, eps=1e-5)

    class Written(Block):
        """Functions as people write them where they don't use those of the framework."""

        def forward(self, x):
            x = x.unbind(0)
            powers = torch.exp(x[0] - x[0].amax(-1, keepdim=True))
            shifted = x[1] - x[1].amax(-1, keepdim=True)
            off = x[13] - x[13].mean((1, 2), keepdim=True)
            return torch.stack((
                powers / powers.sum(-1, keepdim=True),
                shifted - torch.log(torch.exp(shifted).sum(-1, keepdim=True)),
                torch.exp(x[2]) / torch.exp(x[2]).sum(1, keepdim=True),
                torch.log(torch.softmax(x[3], 1)),
                x[4] - torch.logsumexp(x[4], 1, keepdim=True),
                1 / (1 + torch.exp(-x[5])),
                x[6] / (1 + torch.exp(-x[6])),
                x[7] * torch.sigmoid(1.702 * x[7]),
                torch.log(1 + torch.exp(x[8])),
                x[9] * torch.tanh(torch.log(1 + torch.exp(x[9]))),
                x[10] * F.relu6(x[10] + 3) / 6,
                0.5 * x[11] * (1.0 + torch.tanh(x[11] * 0.7978845608 * (1.0 + 0.044715 * x[11] * x[11]))),
                x[12] * 0.5 * (1.0 + torch.erf(x[12] / math.sqrt(2.0))),
                off * torch.rsqrt((off * off).mean((1, 2), keepdim=True) + 1e-5),
            ))

    return {name.lower(): made(name.lower()).eval() for name, made in {block.__name__: block for block in (Bert, Gpt, Sdpa, Llama, Activations, Norms, Written, Swiglu, Masked, Rotary, Half, Lstm, Gru, Grouped, Branches, Reduces, Decoder, Inverted, Quantised, Algebra)}.items()}


def torch_main():
    import torch

    for block, module in wanted(torch_blocks()):
        given = [torch.from_numpy(x) for x in inputs(block)]
        with torch.no_grad():
            result = module(*given).numpy()
        save(block, "torch", result)
        program = torch.export.export(module, tuple(given))
        torch.export.save(program, HERE / f"{block}.torch-export.pt2")
        torch.export.save(program.run_decompositions(), HERE / f"{block}.torch-core.pt2")
        torch.jit.trace(module, tuple(given)).save(HERE / f"{block}.torch-traced.pt")
        for end in ("export.pt2", "core.pt2", "traced.pt"):
            anonymise(HERE / f"{block}.torch-{end}")
        for opset in (13, 14, 17, 20):
            attempt(block, f"torch-script-{opset}", lambda path: torch.onnx.export(module, tuple(given), path, opset_version=opset, dynamo=False))
        for opset in (18, 20, 23):
            def dynamo(path):
                program = torch.onnx.export(module, tuple(given), opset_version=opset, dynamo=True, verbose=False)
                program.save(path, external_data=False)
            attempt(block, f"torch-dynamo-{opset}", dynamo)


def wanted(blocks):
    return [(block, made) for block, made in blocks.items() if block in sys.argv[2:] or not sys.argv[2:]]


def save(block, framework, *results):
    given = {str(at): value for at, value in enumerate(inputs(block))}
    np.savez(HERE / f"{block}.{framework}.npz", **given, **{f"out{at}": value for at, value in enumerate(results)})


def attempt(block, way, make):
    try:
        import onnx
    except ImportError as error:
        return print(f"{block}.{way}: {error}")
    path = HERE / f"{block}.{way}.onnx"
    try:
        make(str(path))
    except Exception as error:
        path.unlink(missing_ok=True)
        print(f"{block}.{way}: {str(error).strip().splitlines()[0]}")
        return
    model = onnx.load(path)
    ops = [(node.op_type, node.domain) for node in model.graph.node]
    if ops in MADE.setdefault(block, []):
        path.unlink()
        print(f"{block}.{way}: as before")
        return
    MADE[block].append(ops)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in list(model.graph.value_info) + list(model.graph.input) + list(model.graph.output) + list(model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:], model.functions[:]
    onnx.save(model, path)
    print(f"{path.name}: {path.stat().st_size} bytes")


# TensorFlow.


def tensorflow_blocks():
    import keras
    import tensorflow as tf

    def activation_inputs(x):
        return tf.transpose(x, (0, 2, 3, 1))

    class Block:
        def __init__(self, block):
            # Tensors would be captured and become inputs of the model.
            self.weights = weights(block)
            self.layers = {}

        def layer(self, x, name, layer):
            """A layer of Keras, made when it is first used, which is before anything is traced."""
            if name not in self.layers:
                layer.build(x.shape)
                layer.set_weights([self.weights[name], self.weights[name + "_bias"]])
                self.layers[name] = layer
            return self.layers[name](x)

        def linear(self, x, name, bias=True):
            y = tf.matmul(x, self.weights[name])
            return tf.nn.bias_add(y, self.weights[name + "_bias"]) if bias else y

        def heads(self, x, name, bias=True):
            y = tf.reshape(self.linear(x, name, bias), (BATCH, TIME, HEADS, WIDTH // HEADS))
            return tf.transpose(y, (0, 2, 1, 3))

        def joined(self, x):
            return tf.reshape(tf.transpose(x, (0, 2, 1, 3)), (BATCH, TIME, WIDTH))

        def layer_norm(self, x, name):
            mean, variance = tf.nn.moments(x, [-1], keepdims=True)
            return tf.nn.batch_normalization(x, mean, variance, self.weights[name + "_bias"], self.weights[name], 1e-5)

        def conv(self, x, name):
            y = tf.nn.conv2d(x, self.weights[name].transpose(2, 3, 1, 0), 1, "SAME")
            return tf.nn.bias_add(y, self.weights[name + "_bias"])

    class Bert(Block):
        def __call__(self, x, mask):
            q, k, v = (self.heads(x, name) for name in "qkv")
            scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(WIDTH // HEADS) + mask
            y = self.joined(tf.matmul(tf.nn.softmax(scores), v))
            x = self.layer_norm(x + self.linear(y, "o"), "norm1")
            y = self.linear(x, "up")
            # As in the first BERT. tf2onnx can't write the complementary error function of tf.nn.gelu.
            y = y * 0.5 * (1.0 + tf.math.erf(y / tf.sqrt(2.0)))
            return self.layer_norm(x + self.linear(y, "down"), "norm2")

    class Gpt(Block):
        def __call__(self, x):
            y = self.layer_norm(x, "norm1")
            q, k, v = (self.heads(y, name) for name in "qkv")
            scores = tf.matmul(q, k, transpose_b=True) * (1.0 / math.sqrt(WIDTH // HEADS))
            seen = tf.linalg.band_part(tf.ones((TIME, TIME)), -1, 0)
            scores = tf.where(tf.cast(seen, tf.bool), scores, -math.inf)
            x = x + self.linear(self.joined(tf.matmul(tf.nn.softmax(scores), v)), "o")
            y = self.linear(self.layer_norm(x, "norm2"), "up")
            return x + self.linear(tf.nn.gelu(y, approximate=True), "down")

    class Sdpa(Block):
        def keras_norm(self, x, name):
            return self.layer(x, name, keras.layers.LayerNormalization(epsilon=1e-5))

        def __call__(self, x):
            y = self.keras_norm(x, "norm1")
            q, k, v = (self.heads(y, name) for name in "qkv")
            # As keras.layers.MultiHeadAttention: queries are scaled before the product.
            q = q * (1.0 / math.sqrt(WIDTH // HEADS))
            scores = tf.einsum("bhqd,bhkd->bhqk", q, k)
            x = x + self.linear(self.joined(tf.einsum("bhqk,bhkd->bhqd", tf.nn.softmax(scores), v)), "o")
            y = self.linear(self.keras_norm(x, "norm2"), "up")
            return x + self.linear(keras.activations.gelu(y, approximate=True), "down")

    class Llama(Block):
        def rms_norm(self, x, name):
            size = tf.reduce_mean(tf.square(x), axis=-1, keepdims=True)
            return x * tf.math.rsqrt(size + 1e-6) * self.weights[name]

        def rotated(self, x):
            cos, sin = rotary_tables()
            a, b = tf.split(x, 2, axis=-1)
            return x * cos + tf.concat((-b, a), axis=-1) * sin

        def __call__(self, x):
            y = self.rms_norm(x, "norm1")
            q, k = (self.rotated(self.heads(y, name, False)) for name in "qk")
            scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(WIDTH // HEADS)
            hidden = 1 - tf.linalg.band_part(tf.ones((TIME, TIME)), -1, 0)
            weights = tf.nn.softmax(scores + hidden * -1e9)
            x = x + self.linear(self.joined(tf.matmul(weights, self.heads(y, "v", False))), "o", False)
            y = self.rms_norm(x, "norm2")
            y = tf.nn.silu(self.linear(y, "gate", False)) * self.linear(y, "up", False)
            return x + self.linear(y, "down", False)

    class Swiglu(Block):
        def __call__(self, x):
            y = tf.matmul(x, np.concatenate((self.weights["gate"], self.weights["up"]), 1))
            gate, up = tf.split(y, 2, axis=-1)
            return self.linear(tf.nn.silu(gate) * up, "down", False)

    class Masked(Block):
        def split(self, x, name):
            y = tf.reshape(self.linear(x, name), (3, TIME, HEADS, WIDTH // HEADS))
            return tf.transpose(y, (0, 2, 1, 3))

        def __call__(self, x, mask):
            q, k, v = (self.split(x, name) for name in "qkv")
            scores = tf.matmul(q, k, transpose_b=True) / math.sqrt(WIDTH // HEADS)
            scores = tf.where(mask, scores, -1e9)
            y = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), (0, 2, 1, 3)), (3, TIME, WIDTH))
            x = self.layer_norm(x + self.linear(y, "o"), "norm1")
            q, k, v = (self.split(x, name) for name in "qkv")
            scores = tf.matmul(q, k, transpose_b=True)
            seen = tf.cast(tf.linalg.band_part(tf.ones((TIME, TIME)), -1, 0), tf.bool)
            scores = tf.where(seen, scores, scores.dtype.min)
            y = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), (0, 2, 1, 3)), (3, TIME, WIDTH))
            return x + self.linear(y, "o")

    class Rotary(Block):
        """Rows of tables, picked by positions that are inputs."""

        def __call__(self, x, positions):
            size = WIDTH // HEADS
            angles = np.outer(np.arange(16), 10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32)
            cos, sin = (tf.gather(np.concatenate((f(angles),) * 2, -1), positions)[:, None] for f in (np.cos, np.sin))

            def rotated(x):
                a, b = tf.split(x, 2, axis=-1)
                return x * cos + tf.concat((-b, a), axis=-1) * sin

            q, k = (rotated(self.heads(x, name, False)) for name in "qk")
            y = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / math.sqrt(size)), self.heads(x, "v", False))
            return x + self.linear(self.joined(y), "o", False)

    class Half(Block):
        def __call__(self, x):
            wide = tf.cast(x, tf.float32)
            wide = wide * tf.math.rsqrt(tf.reduce_mean(tf.square(wide), axis=-1, keepdims=True) + 1e-6)
            y = tf.cast(wide, tf.float16) * self.weights["norm1"].astype(np.float16)
            x = x + tf.matmul(y, self.weights["q"].astype(np.float16))
            wide = tf.cast(x, tf.float32)
            mean, variance = tf.nn.moments(wide, [-1], keepdims=True)
            y = tf.cast((wide - mean) * tf.math.rsqrt(variance + 1e-5), tf.float16)
            y = y * self.weights["norm2"].astype(np.float16) + self.weights["norm2_bias"].astype(np.float16)
            return x + tf.matmul(y, self.weights["k"].astype(np.float16))

    class Lstm(Block):
        def __call__(self, x):
            if not self.layers:
                made = keras.layers.LSTM(WIDTH, return_sequences=True, unroll=True)
                made.build(x.shape)
                made.set_weights([self.weights["input"], self.weights["recurrent"], self.weights["input_bias"] + self.weights["recurrent_bias"]])
                self.layers["lstm"] = made
            return self.layers["lstm"](x)

    class Gru(Block):
        def __call__(self, x):
            if not self.layers:
                made = keras.layers.GRU(WIDTH, return_sequences=True, unroll=True)
                made.build(x.shape)

                def swapped(x):
                    # PyTorch's gates are r, z, n and Keras's z, r, h.
                    r, z, n = np.split(x, 3, -1)
                    return np.concatenate((z, r, n), -1)

                found = {name: swapped(value) for name, value in self.weights.items()}
                made.set_weights([found["input"], found["recurrent"], np.stack((found["input_bias"], found["recurrent_bias"]))])
                self.layers["gru"] = made
            return self.layers["gru"](x)

    class Grouped(Block):
        def __call__(self, x):
            filters = self.weights["first"].transpose(2, 3, 1, 0)
            parts = zip(tf.split(activation_inputs(x), 4, 3), np.split(filters, 4, 3), np.split(self.weights["first_bias"], 4))
            x = tf.nn.relu(tf.concat([tf.nn.bias_add(tf.nn.conv2d(part, w, 1, "SAME"), b) for part, w, b in parts], 3))
            # As the first MobileNets: one channel after the other.
            filters = self.weights["second"].transpose(2, 3, 1, 0)
            x = tf.concat([tf.nn.conv2d(part, w, 1, "SAME") for part, w in zip(tf.split(x, 16, 3), np.split(filters, 16, 3))], 3)
            return tf.transpose(x, (0, 3, 1, 2))

    class Branches(Block):
        def __call__(self, x):
            x = activation_inputs(x)
            x = tf.nn.relu(self.conv(x, "first") + self.conv(x, "second") + self.conv(x, "third"))
            first, second = (tf.nn.conv2d(x, self.weights[name].transpose(2, 3, 1, 0), 1, "SAME") for name in ("first", "second"))
            x = tf.reshape(tf.nn.relu(first + second), (1, 25, WIDTH))
            adapter = self.linear(self.linear(x, "down", False), "up", False) * 0.5
            x = tf.nn.relu(tf.nn.bias_add(self.linear(x, "linear", False), self.weights["first_bias"]) + adapter)
            return self.linear(x, "linear", False) + self.linear(self.linear(x, "down", False), "up", False)

    class Reduces(Block):
        def __call__(self, x):
            a, b, c = tf.unstack(x)
            stacked = tf.stack((a * 2, tf.tanh(b), tf.exp(c)))
            places = tf.reshape(tf.reduce_mean(tf.reshape(a, (2, 24)), 1), (2, 1, 1))
            repeated = tf.broadcast_to(b[:, None], (2, 5, 4, 6))
            sums = tf.reduce_mean(stacked, 0) + tf.reduce_sum(stacked, 0) + tf.reduce_max(stacked, 0)
            return sums + places + tf.reduce_mean(repeated, 1) + tf.reduce_max(repeated, 1)

    class Inverted(Block):
        def norm(self, x, name):
            return tf.nn.batch_normalization(x, self.weights[name + "_mean"], self.weights[name + "_variance"], self.weights[name + "_bias"], self.weights[name], 1e-5)

        def gate(self, x, name):
            return tf.nn.bias_add(tf.nn.conv2d(x, self.weights[name].transpose(2, 3, 1, 0), 1, "VALID"), self.weights[name + "_bias"])

        def __call__(self, x):
            x = tf.pad(activation_inputs(x), ((0, 0), (0, 1), (0, 1), (0, 0)))
            x = tf.nn.relu6(self.norm(tf.nn.conv2d(x, self.weights["first"].transpose(2, 3, 1, 0), 2, "VALID"), "norm1"))
            y = tf.nn.relu6(self.norm(tf.nn.depthwise_conv2d(x, self.weights["depth"].transpose(2, 3, 0, 1), (1, 1, 1, 1), "SAME"), "norm2"))
            y = y * tf.sigmoid(self.gate(tf.nn.relu(self.gate(tf.reduce_mean(y, (1, 2), keepdims=True), "squeeze")), "expand"))
            y = self.norm(tf.nn.conv2d(y, self.weights["project"].transpose(2, 3, 1, 0), 1, "VALID"), "norm3")
            return tf.transpose(tf.concat((x + y, tf.nn.max_pool2d(x, 3, 1, "SAME")), 3), (0, 3, 1, 2))

    class Activations(Block):
        def __call__(self, x):
            x = activation_inputs(x)
            x = tf.nn.silu(self.conv(x, "first"))
            x = keras.activations.mish(keras.activations.hard_swish(self.conv(x, "second")))
            x = tf.math.softplus(self.conv(x, "third"))
            x = x * keras.activations.hard_sigmoid(tf.reduce_mean(x, (1, 2), keepdims=True))
            return tf.transpose(x, (0, 3, 1, 2))

    class Norms(Block):
        def norm(self, x, groups, name):
            return self.layer(x, name, keras.layers.GroupNormalization(groups, epsilon=1e-5))

        def __call__(self, x):
            x = self.norm(self.conv(activation_inputs(x), "first"), 2, "norm1")
            x = self.conv(tf.nn.silu(x), "second")
            return tf.transpose(self.norm(x, -1, "norm2"), (0, 3, 1, 2))

    return {name.lower(): made(name.lower()) for name, made in {block.__name__: block for block in (Bert, Gpt, Sdpa, Llama, Activations, Norms, Swiglu, Masked, Rotary, Half, Lstm, Gru, Grouped, Branches, Inverted, Reduces)}.items()}


def tensorflow_main():
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    for block, call in wanted(tensorflow_blocks()):
        given = [tf.constant(x) for x in inputs(block)]
        signature = [tf.TensorSpec(x.shape, x.dtype, name=f"x{at}") for at, x in enumerate(given)]
        save(block, "tensorflow", call(*given).numpy())
        function = tf.function(call.__call__, input_signature=signature, autograph=False)
        concrete = function.get_concrete_function()
        (HERE / f"{block}.tensorflow-graph.pb").write_bytes(convert_variables_to_constants_v2(concrete).graph.as_graph_def().SerializeToString(deterministic=True))
        try:
            (HERE / f"{block}.tensorflow-lite.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
        except Exception as error:  # the converter's own, which is no class of TensorFlow's
            print(f"{block}.tensorflow-lite: {str(error).strip().splitlines()[0][:150]}")
        if not importlib.util.find_spec("tf2onnx"):
            print(f"{block}: there is no tf2onnx")
            continue
        import tf2onnx
        for opset in (13, 18):
            attempt(block, f"tensorflow-{opset}", lambda path: tf2onnx.convert.from_function(function, input_signature=signature, opset=opset, output_path=path))


def residual():
    """A network with a residual block: a strided first layer of three channels, a pool, convolutions with and without margin, a mean, a fully connected layer."""
    from onnx import TensorProto, helper, numpy_helper

    draw = Draw(5)
    nodes, weights = [], []

    def layer(op, x, shape, **attributes):
        y = f"y{len(nodes)}"
        weights.append(numpy_helper.from_array(draw(*shape, scale=math.prod(shape[1:]) ** -0.5), y + ".weight"))
        weights.append(numpy_helper.from_array(draw(shape[0], scale=0.2), y + ".bias"))
        nodes.append(helper.make_node(op, [x, y + ".weight", y + ".bias"], [y], name=y, **attributes))
        return y

    def node(op, *x, **attributes):
        y = f"y{len(nodes)}"
        nodes.append(helper.make_node(op, list(x), [y], name=y, **attributes))
        return y

    x = node("Relu", layer("Conv", "0", (8, 3, 5, 5), strides=[2, 2], pads=[2, 2, 2, 2]))
    x = node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    a = node("Relu", layer("Conv", x, (6, 8, 1, 1)))
    a = node("Relu", layer("Conv", a, (8, 6, 3, 3), pads=[1, 1, 1, 1]))
    a = layer("Conv", a, (20, 8, 1, 1))
    x = node("Relu", node("Add", a, layer("Conv", x, (20, 8, 1, 1))))
    x = node("Flatten", node("GlobalAveragePool", x))
    x = layer("Gemm", x, (5, 20), transB=1)
    nodes[-1].output[0] = "out0"
    image = helper.make_tensor_value_info("0", TensorProto.FLOAT, [BATCH, 3, 21, 18])
    graph = helper.make_graph(nodes, "residual", [image], [helper.make_tensor_value_info("out0", TensorProto.FLOAT, [BATCH, 5])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def onnxruntime_main():
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self, images):
            self.images = iter(images)

        def get_next(self):
            return next(self.images, None)

    draw = Draw(7)
    images = [{"0": draw(BATCH, 3, 21, 18)} for _ in range(4)]
    for block, activations, per_channel, ways in (
        ("residual", QuantType.QUInt8, True, {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}),
        ("residual_signed", QuantType.QInt8, False, {"qdq": QuantFormat.QDQ}),
    ):
        for way, form in ways.items():
            path = HERE / f"{block}.onnxruntime-{way}.onnx"
            quantize_static(residual(), path, Reader(images), quant_format=form, per_channel=per_channel, activation_type=activations, weight_type=QuantType.QInt8)
            onnx.save(onnx.load(path), path)
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            save(block, "onnxruntime", *session.run(None, {"0": inputs(block)[0]}))


if __name__ == "__main__":
    {"torch": torch_main, "tensorflow": tensorflow_main, "onnxruntime": onnxruntime_main}[sys.argv[1]]()
