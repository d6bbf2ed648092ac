#!/usr/bin/env python3
"""Exports well-known architectures, with random weights from a fixed seed, to ONNX.

    export.py OUT [NAME...]

Writes OUT/NAME.onnx. The repository keeps these graphs without their weights (see strip.py, fill.py), so
neither setting up nor running the tests needs this script. Plain initial weights would make a comparison
empty (zeroed heads, activations that fade to 1e-20), so every weight is redrawn and batch norms take their
statistics from the data; outputs that are still tiny or huge are an error. Needs torch, torchvision,
transformers, onnx, onnxscript.
"""

import pathlib
import sys
import warnings

import torch
import torchvision.models as vision
from torch import nn

OPSET = 17  # of the tracing exporter; the dynamo exporter picks its own
DYNAMO_ONLY = {"bert_base", "gpt2"}  # the tracing exporter fails on current transformers


class CausalLm(nn.Module):
    """Logits only, so that the exporter sees one plain output."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        return self.model(ids, use_cache=False, return_dict=False)[0]


class LstmLm(nn.Module):
    def __init__(self, words=10000, width=256, hidden=512):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, words)

    def forward(self, ids):
        return self.head(self.lstm(self.embed(ids))[0])


def redraw(model, inputs):
    """Weights with fan-in scaling, biases and norm parameters off their defaults, batch-norm statistics
    from a forward pass, so that every layer's output is of order one."""
    for name, weight in model.named_parameters():
        with torch.no_grad():
            if weight.dim() >= 2:
                fan_in = weight[0].numel() if weight.dim() > 2 or "embed" not in name else weight.shape[1]
                weight.normal_(0, fan_in ** -0.5)
            elif name.endswith("weight"):
                weight.normal_(1, 0.1)
            else:
                weight.normal_(0, 0.1)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        batch = {k: torch.randn(4, *v.shape[1:]) for k, v in inputs.items()}
        for norm in norms:
            norm.momentum = 1.0
        model.train()
        with torch.no_grad():
            model(*batch.values())
    return model.eval()


def image_model(build):
    return build(weights=None), {"x": torch.randn(1, 3, 224, 224)}


def bert_base():
    from transformers import BertConfig, BertModel
    model = BertModel(BertConfig(attn_implementation="eager"))
    model.config.return_dict = False
    return model, {"input_ids": torch.randint(0, 30000, (1, 128)),
                   "attention_mask": torch.ones(1, 128, dtype=torch.long),
                   "token_type_ids": torch.zeros(1, 128, dtype=torch.long)}


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel
    model = GPT2LMHeadModel(GPT2Config(attn_implementation="eager"))
    return CausalLm(model), {"ids": torch.randint(0, 50000, (1, 64))}


def mlp():
    model = nn.Sequential(nn.Linear(784, 512), nn.GELU(), nn.LayerNorm(512), nn.Linear(512, 512),
                          nn.SiLU(), nn.Linear(512, 10), nn.Softmax(-1))
    return model, {"x": torch.randn(64, 784)}


ZOO = {
    "mlp_b64": mlp,
    "squeezenet": lambda: image_model(vision.squeezenet1_1),
    "mobilenet_v2": lambda: image_model(vision.mobilenet_v2),
    "mobilenet_v3_large": lambda: image_model(vision.mobilenet_v3_large),
    "resnet18": lambda: image_model(vision.resnet18),
    "resnet50": lambda: image_model(vision.resnet50),
    "convnext_tiny": lambda: image_model(vision.convnext_tiny),
    "vit_b_16": lambda: image_model(vision.vit_b_16),
    "lstm_lm": lambda: (LstmLm(), {"ids": torch.randint(0, 10000, (1, 64))}),
    "bert_base": bert_base,
    "gpt2": gpt2,
}


def main(out, *names):
    warnings.filterwarnings("ignore")
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in names or ZOO:
        torch.manual_seed(0)
        model, inputs = ZOO[name]()
        model = redraw(model, inputs)
        with torch.no_grad():
            result = model(*inputs.values())
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        spreads = [float(y.std()) for y in outputs]
        assert all(1e-3 < spread < 1e4 for spread in spreads), f"{name}: outputs say nothing, {spreads}"
        labels = [f"y{i}" for i in range(len(outputs))]
        path = out / f"{name}.onnx"
        args = (model, tuple(inputs.values()), str(path))
        if name in DYNAMO_ONLY:
            torch.onnx.export(*args, input_names=list(inputs), output_names=labels,
                              dynamo=True, external_data=False, verbose=False)
        else:
            torch.onnx.export(*args, input_names=list(inputs), output_names=labels,
                              opset_version=OPSET, dynamo=False)
        print(f"{name}: {path.stat().st_size >> 20} MB, output spread {spreads[0]:.3g}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
