#!/usr/bin/env python3
"""Exports architectures of torchvision, timm and transformers with random weights, and checks that Frit gives what PyTorch does.

    pytorch.py FRIT FOLDER [--export | --check] [NAME...]

FOLDER keeps the programs; what is there is not exported again. Writes pytorch.md beside this script unless names are given.

requirements:
    torch==2.15.0
    torchvision==0.29.2
    timm==1.0.31
    transformers==5.23.0
    numpy==2.4.6
"""

import json
import logging
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch

ARCHITECTURES = {}


def vision(name, size=64, batch=2, **options):
    def make():
        import torchvision
        keep = {"weights": None} | ({"weights_backbone": None} if "/" in name else {}) | options
        return torchvision.models.get_model(name.split("/")[-1], **keep), (torch.randn(batch, 3, size, size),)
    ARCHITECTURES[f"torchvision/{name.split('/')[-1]}"] = make


def timm_model(name, size=None, **options):
    def make():
        import timm
        model = timm.create_model(name, pretrained=False, **options)
        side = size or model.default_cfg["input_size"][-1]
        return model, (torch.randn(1, 3, side, side),)
    ARCHITECTURES[f"timm/{name}"] = make


def language(name, cls, make_inputs=None, **config):
    def make():
        import transformers
        options = transformers.AutoConfig.for_model(name, **config)
        options.use_cache = False
        try:
            options._attn_implementation = "sdpa"
            model = getattr(transformers, cls)(options)
        except ValueError:
            options._attn_implementation = "eager"
            model = getattr(transformers, cls)(options)
        inputs = make_inputs() if make_inputs else {"input_ids": torch.randint(3, 90, (2, 12)), "attention_mask": torch.ones(2, 12, dtype=torch.int64)}
        return model, inputs
    ARCHITECTURES[f"transformers/{name}"] = make


for arch in ["alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x1_0", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "regnet_x_400mf", "convnext_tiny", "swin_t", "swin_v2_t"]:
    vision(arch, 224 if arch == "alexnet" else 64)
vision("googlenet", 96, init_weights=False, aux_logits=False)
vision("inception_v3", 128, init_weights=False, aux_logits=False)
vision("vit_b_16", 224, 1)
vision("maxvit_t", 224, 1)
for arch in ["segmentation/fcn_resnet50", "segmentation/deeplabv3_mobilenet_v3_large", "segmentation/lraspp_mobilenet_v3_large"]:
    vision(arch, 96)
for arch in ["deit_tiny_patch16_224", "mixer_s16_224", "levit_128s", "mobilevit_xxs", "eva02_tiny_patch14_224", "poolformer_s12", "convmixer_768_32", "ghostnet_100", "resnest14d", "hrnet_w18_small", "efficientformer_l1", "coat_tiny", "xcit_nano_12_p16_224", "nf_resnet50", "edgenext_xx_small", "beit_base_patch16_224", "gernet_s", "pit_ti_224", "cait_xxs24_224"]:
    timm_model(arch)
small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "vocab_size": 100}
for arch, cls in [("bert", "BertModel"), ("roberta", "RobertaModel"), ("albert", "AlbertModel"), ("electra", "ElectraModel"), ("deberta-v2", "DebertaV2Model"), ("mpnet", "MPNetModel")]:
    language(arch, cls, **small, **({"embedding_size": 64} if arch in ("albert", "electra") else {}))
language("distilbert", "DistilBertModel", n_layers=2, dim=64, hidden_dim=128, n_heads=4, vocab_size=100)
language("gpt2", "GPT2LMHeadModel", n_layer=2, n_embd=64, n_head=4, vocab_size=100)
for arch, cls in [("llama", "LlamaForCausalLM"), ("qwen2", "Qwen2ForCausalLM"), ("qwen3", "Qwen3ForCausalLM"), ("mistral", "MistralForCausalLM"), ("gemma", "GemmaForCausalLM"), ("phi", "PhiForCausalLM"), ("mixtral", "MixtralForCausalLM")]:
    options = small | {"num_key_value_heads": 2 if arch != "phi" else 4, "head_dim": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    language(arch, cls, **options)
language("opt", "OPTForCausalLM", num_hidden_layers=2, hidden_size=64, ffn_dim=128, num_attention_heads=4, vocab_size=100, word_embed_proj_dim=64)
language("bloom", "BloomForCausalLM", n_layer=2, hidden_size=64, n_head=4, vocab_size=100)
language("t5", "T5ForConditionalGeneration", lambda: {"input_ids": torch.randint(3, 90, (2, 10)), "decoder_input_ids": torch.randint(3, 90, (2, 7))}, num_layers=2, d_model=64, d_ff=128, num_heads=4, d_kv=16, vocab_size=100)
language("bart", "BartForConditionalGeneration", lambda: {"input_ids": torch.randint(3, 90, (2, 10)), "decoder_input_ids": torch.randint(3, 90, (2, 7))}, encoder_layers=2, decoder_layers=2, d_model=64, encoder_ffn_dim=128, decoder_ffn_dim=128, encoder_attention_heads=4, decoder_attention_heads=4, vocab_size=100)
language("whisper", "WhisperForConditionalGeneration", lambda: {"input_features": torch.randn(1, 80, 100), "decoder_input_ids": torch.randint(3, 90, (1, 7))}, encoder_layers=2, decoder_layers=2, d_model=64, encoder_ffn_dim=128, decoder_ffn_dim=128, encoder_attention_heads=4, decoder_attention_heads=4, vocab_size=100, max_source_positions=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1)
language("wav2vec2", "Wav2Vec2Model", lambda: {"input_values": torch.randn(1, 4000)}, num_hidden_layers=2, hidden_size=64, intermediate_size=128, num_attention_heads=4, conv_dim=[32] * 7, num_conv_pos_embeddings=16)
language("vit", "ViTModel", lambda: {"pixel_values": torch.randn(1, 3, 64, 64)}, num_hidden_layers=2, hidden_size=64, intermediate_size=128, num_attention_heads=4, image_size=64)
language("segformer", "SegformerForSemanticSegmentation", lambda: {"pixel_values": torch.randn(1, 3, 64, 64)})
language("mamba", "MambaForCausalLM", lambda: {"input_ids": torch.randint(3, 90, (2, 12))}, num_hidden_layers=2, hidden_size=64, vocab_size=100, state_size=8)


def tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else []
    return [tensor for value in values for tensor in tensors(value)]


def export(name, path):
    torch.manual_seed(0)
    model, inputs = ARCHITECTURES[name]()
    model = model.eval()
    # Random weights of normalisations make more of a difference than those they begin with.
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif buffer_name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    args, kwargs = ((), inputs) if isinstance(inputs, dict) else (inputs, {})
    with torch.no_grad():
        program = torch.export.export(model, args, kwargs, strict=False)
        torch.export.save(program, path)
        results = tensors(program.module()(*args, **kwargs))
    signature = program.graph_signature
    given = inputs.values() if isinstance(inputs, dict) else inputs
    arrays = {f"in:{key}": value.numpy() for key, value in zip(signature.user_inputs, given)}
    # Outputs are compared by their order.
    arrays |= {f"out:{at}": value.detach().contiguous().numpy() for at, value in enumerate(results)}
    np.savez(path.with_suffix(".npz"), **arrays)


def reason(text):
    lines = [line.strip(" ×│") for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("frit::", "help", "inputs are")))[:160].replace("|", "/")


def check(frit, path):
    stored = np.load(path.with_suffix(".npz"))
    begun = time.perf_counter()
    shown = subprocess.run([frit, "inspect", path, "--stage", "import"], capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if shown.returncode:
        return f"not imported: {reason(shown.stderr)}", "", seconds
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs, report = (pathlib.Path(folder) / name for name in ("in.npz", "out.npz", "bench.json"))
        np.savez(inputs, **{key[3:]: stored[key] for key in stored.files if key.startswith("in:")})
        run = subprocess.run([frit, "run", path, "--inputs", inputs, "--output", outputs], capture_output=True, text=True)
        if run.returncode:
            return f"not run: {reason(run.stderr)}", "", seconds
        bench = subprocess.run([frit, "bench", path, "--inputs", inputs, "--runs", "1", "--json", report], capture_output=True, text=True)
        kernels = str(len(json.loads(report.read_text())["kernels"])) if bench.returncode == 0 and report.exists() else ""
        got = np.load(outputs)
        expected = [stored[key] for key in stored.files if key.startswith("out:")]
        results = [got[key] for key in got.files][: len(expected)]
        if len(results) != len(expected):
            return f"{len(results)} outputs instead of {len(expected)}", kernels, seconds
        for at, (a, b) in enumerate(zip(results, expected, strict=True)):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"output {at} is {a.dtype}{list(a.shape)} instead of {b.dtype}{list(b.shape)}", kernels, seconds
            if not np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True):
                return f"output {at} is off by {np.nanmax(np.abs(a.astype(np.float64) - b)):.2g} of {np.nanmax(np.abs(b)):.2g}", kernels, seconds
    return "matches", kernels, seconds


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    flags = {argument for argument in sys.argv[1:] if argument.startswith("--")}
    frit, folder, *names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    folder = pathlib.Path(folder)
    rows = []
    for name in names or ARCHITECTURES:
        path = folder / f"{name.replace('/', '_')}.pt2"
        failure = path.with_suffix(".error")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.with_suffix(".npz").exists() and not failure.exists() and "--check" not in flags:
            try:
                export(name, path)
            except Exception as error:  # What PyTorch itself can't export is a row too.
                failure.write_text(f"{type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}")
        if "--export" in flags:
            print(name, "exported" if path.with_suffix(".npz").exists() else failure.read_text() if failure.exists() else "?", flush=True)
            continue
        if not path.with_suffix(".npz").exists():
            result = (f"PyTorch does not export it: {failure.read_text()}" if failure.exists() else "not exported", "", 0.0)
        else:
            result = check(frit, path)
        rows.append((name, *result))
        print(f"{name}: {result[0]} {result[1]} {result[2]:.2f}s", flush=True)
    if names or "--export" in flags:
        return
    tried = [row for row in rows if not row[1].startswith("PyTorch does not")]
    matching = sum(row[1] == "matches" for row in tried)
    lines = [f"# Exported programs\n\nArchitectures with random weights, exported by torch {torch.__version__} and run by Frit: {matching} of {len(tried)} match. Written by `tests/sweeps/pytorch.py`.\n",
             "| architecture | result | steps | seconds to import |", "|---|---|---|---|"]
    lines += [f"| {name} | {result} | {kernels} | {seconds:.2f} |" for name, result, kernels, seconds in rows]
    pathlib.Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
