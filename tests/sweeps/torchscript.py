#!/usr/bin/env python3
"""Export architectures as TorchScript, import, compile and run each, and compare with PyTorch.

    torchscript.py [FRIT [TEXT]]

FRIT is the command, by default the one that was built; TEXT picks models by name. Weights are random, but normalisations have drawn statistics. Writes torchscript.md beside this
file. Needs torch, torchvision, timm, transformers.
"""

import gc
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from torch import nn

warnings.simplefilter("ignore")
IMAGE = (1, 3, 224, 224)


def vision(name, shape=IMAGE, **options):
    import torchvision
    return lambda: (torchvision.models.get_model(name, weights=None, **options), [torch.randn(shape)])


def timm(name, shape=IMAGE, **options):
    def make():
        import timm
        return timm.create_model(name, pretrained=False, scriptable=True, exportable=True, **options), [torch.randn(shape)]
    return make


class Picked(nn.Module):
    """One tensor of what a transformers model gives."""

    def __init__(self, model, field):
        super().__init__()
        self.model, self.field = model, field

    def forward(self, *args):
        return getattr(self.model(*args, return_dict=True), self.field)


def tokens(cls, config, field="last_hidden_state", length=32, mask=True, **options):
    def make():
        import transformers
        config_of = getattr(transformers, config)(use_cache=False, attn_implementation="eager", **options)
        model = getattr(transformers, cls)(config_of)
        ids = torch.randint(0, min(config_of.vocab_size, 1000), (2, length))
        given = torch.ones_like(ids)
        given[1, length // 2:] = 0
        return Picked(model, field), [ids, given] if mask else [ids]
    return make


SMALL = dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256)

# name -> (how to make it, ways)
MODELS = {
    "torchvision/resnet18": (vision("resnet18"), "ts"),
    "torchvision/resnet50": (vision("resnet50"), "ts"),
    "torchvision/resnext50_32x4d": (vision("resnext50_32x4d"), "t"),
    "torchvision/mobilenet_v2": (vision("mobilenet_v2"), "ts"),
    "torchvision/mobilenet_v3_small": (vision("mobilenet_v3_small"), "ts"),
    "torchvision/efficientnet_b0": (vision("efficientnet_b0"), "ts"),
    "torchvision/densenet121": (vision("densenet121"), "ts"),
    "torchvision/googlenet": (vision("googlenet", aux_logits=False, init_weights=False), "ts"),
    "torchvision/inception_v3": (vision("inception_v3", (1, 3, 299, 299), aux_logits=False, init_weights=False), "ts"),
    "torchvision/squeezenet1_1": (vision("squeezenet1_1"), "ts"),
    "torchvision/shufflenet_v2_x1_0": (vision("shufflenet_v2_x1_0"), "ts"),
    "torchvision/mnasnet1_0": (vision("mnasnet1_0"), "t"),
    "torchvision/regnet_y_400mf": (vision("regnet_y_400mf"), "ts"),
    "torchvision/alexnet": (vision("alexnet"), "t"),
    "torchvision/vgg11_bn": (vision("vgg11_bn"), "t"),
    "torchvision/convnext_tiny": (vision("convnext_tiny"), "ts"),
    "torchvision/vit_b_16": (vision("vit_b_16"), "ts"),
    "torchvision/swin_t": (vision("swin_t"), "ts"),
    "torchvision/swin_v2_t": (vision("swin_v2_t"), "t"),
    "torchvision/maxvit_t": (vision("maxvit_t"), "t"),
    "torchvision/fcn_resnet50": (vision("fcn_resnet50", weights_backbone=None), "ts"),
    "torchvision/deeplabv3_mobilenet_v3_large": (vision("deeplabv3_mobilenet_v3_large", weights_backbone=None), "ts"),
    "torchvision/lraspp_mobilenet_v3_large": (vision("lraspp_mobilenet_v3_large", weights_backbone=None), "s"),
    "torchvision/r2plus1d_18": (vision("r2plus1d_18", (1, 3, 8, 64, 64)), "ts"),
    "timm/resnet26": (timm("resnet26"), "ts"),
    "timm/mixer_s32_224": (timm("mixer_s32_224"), "ts"),
    "timm/deit_tiny_patch16_224": (timm("deit_tiny_patch16_224"), "ts"),
    "timm/poolformer_s12": (timm("poolformer_s12"), "ts"),
    "timm/ghostnet_100": (timm("ghostnet_100"), "t"),
    "timm/repvgg_a0": (timm("repvgg_a0"), "t"),
    "timm/coatnet_nano_rw_224": (timm("coatnet_nano_rw_224"), "t"),
    "timm/edgenext_xx_small": (timm("edgenext_xx_small"), "t"),
    "timm/mobilevit_xxs": (timm("mobilevit_xxs", (1, 3, 256, 256)), "t"),
    "timm/levit_128s": (timm("levit_128s"), "t"),
    "transformers/bert": (tokens("BertModel", "BertConfig", **SMALL), "t"),
    "transformers/distilbert": (tokens("DistilBertModel", "DistilBertConfig", dim=128, n_layers=2, n_heads=4, hidden_dim=256), "t"),
    "transformers/gpt2": (tokens("GPT2Model", "GPT2Config", n_embd=128, n_layer=2, n_head=4), "t"),
    "transformers/llama": (tokens("LlamaModel", "LlamaConfig", vocab_size=1000, **SMALL), "t"),
    "transformers/roberta": (tokens("RobertaModel", "RobertaConfig", **SMALL), "t"),
    "transformers/electra": (tokens("ElectraModel", "ElectraConfig", **SMALL), "t"),
    "transformers/albert": (tokens("AlbertModel", "AlbertConfig", **SMALL), "t"),
    "transformers/t5_encoder": (tokens("T5EncoderModel", "T5Config", d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4), "t"),
}


def drawn(model):
    """Statistics and gates that are not all ones and zeros."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.8, 1.2)
        for name, value in model.named_parameters():
            if value.numel() and float(value.abs().max()) == 0:
                value.uniform_(-0.05, 0.05)
    return model.eval()


def leaves(result, prefix=""):
    if isinstance(result, torch.Tensor):
        yield prefix or "output", result.numpy()
    elif isinstance(result, dict) or hasattr(result, "_fields"):
        for key, item in (result if isinstance(result, dict) else result._asdict()).items():
            yield from leaves(item, f"{prefix}_{key}" if prefix else key)
    elif result is not None:
        for at, item in enumerate(result):
            yield from leaves(item, f"{prefix}_{at}" if prefix else f"output_{at}")


def check(frit, module, inputs, folder):
    path = folder / "model.pt"
    module.save(str(path))
    with torch.no_grad():
        expected = dict(leaves(module(*inputs)))
    np.savez(folder / "in.npz", *[x.numpy() for x in inputs])
    start = time.time()
    seen = subprocess.run([frit, "inspect", path, "--stage", "import"], capture_output=True, text=True)
    seconds = time.time() - start
    done = subprocess.run([frit, "bench", path, "--inputs", folder / "in.npz", "--runs", "1", "--json", folder / "bench.json"], capture_output=True, text=True)
    run = subprocess.run([frit, "run", path, "--inputs", folder / "in.npz", "--output", folder / "out.npz"], capture_output=True, text=True)
    if run.returncode:
        words = [line.strip() for line in run.stderr.splitlines() if line.strip()]
        return "fails: " + " ".join(words)[:300], "", ""
    kernels = len(json.loads((folder / "bench.json").read_text())["kernels"]) if done.returncode == 0 else ""
    got = np.load(folder / "out.npz")
    for name, value in expected.items():
        if name not in got.files:
            return f"fails: no output '{name}' but {got.files}", kernels, ""
        if got[name].shape != value.shape or not np.allclose(got[name], value, rtol=1e-3, atol=1e-4):
            off = np.abs(got[name] - value).max() if got[name].shape == value.shape else got[name].shape
            return f"fails: '{name}' is off by {off}", kernels, ""
    return "ok", kernels, f"{seconds:.2f}" if seen.returncode == 0 else ""


def main(frit=pathlib.Path(__file__).parents[2] / "target" / "release" / "frit", text=""):
    frit = str(pathlib.Path(frit).resolve())
    rows = []
    torch.set_num_threads(1)
    for name, (make, ways) in MODELS.items():
        for way in ways:
            if text not in name:
                continue
            torch.manual_seed(0)
            words = {"t": "traced", "s": "scripted"}[way]
            try:
                model, inputs = make()
                drawn(model)
                with torch.no_grad():
                    module = torch.jit.trace(model, inputs, check_trace=False, strict=False) if way == "t" else torch.jit.script(model)
            except Exception as error:  # the exporter's own failure is no row
                print(f"{name} ({words}): PyTorch can't export it: {str(error).splitlines()[0][:150]}", flush=True)
                continue
            with tempfile.TemporaryDirectory() as folder:
                result, kernels, seconds = check(frit, module, inputs, pathlib.Path(folder))
            rows.append((name, words, result, kernels, seconds))
            print(*rows[-1], flush=True)
            del model, module
            gc.collect()
    good = sum(row[2] == "ok" for row in rows)
    if not text:
        lines = ["# TorchScript: architectures", "", f"{good} of {len(rows)} import, compile and match PyTorch {torch.__version__}. Made by `tests/sweeps/torchscript.py`.", "", "| model | | result | steps | seconds to import |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
        (pathlib.Path(__file__).parent / "torchscript.md").write_text("\n".join(lines) + "\n")
    print(f"{good} of {len(rows)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
