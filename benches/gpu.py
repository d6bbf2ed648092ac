#!/usr/bin/env python3
"""Checks and times Frit on an NVIDIA GPU; benches/gpu.sh runs it.

    gpu.sh [TEXT...] [--torch] [--compile NAME...] [--jobs N] [--write]

Takes the models whose name holds one of the TEXTs, or all. First each model's outputs are compared with its oracle, a
few models at a time; then they are timed one after the other: on the device, from the program's begin to its end, and
on the host, with inputs and outputs copied. A wrong answer has no time. --torch times the zoo's architectures in eager
PyTorch too, --compile those that are named with torch.compile as well (it takes up to minutes for each), both in full
f32 (no TF32) on inputs that lie on the device. --write keeps the table in benches/results/gpu.md and the figures, kernel
by kernel, in gpu.json.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import sys
import tempfile

import numpy as np

from outputs import Failed, call, compare

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path(os.environ.get("FRIT_TEST_DATA", HERE.parent / "tests" / "data"))
FRIT = os.environ.get("FRIT", str(HERE.parent / "target" / "release" / "frit"))


def check(model, stem):
    """Compares outputs with the oracle: twice the same bits, and right. How much is off, and what the interpreter does."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [pathlib.Path(folder) / f"{turn}.npz" for turn in range(2)]
        for output in outputs:
            done = call(FRIT, "run", model, "--device", "cuda", "--inputs", f"{stem}.in.npz", "--output", output)
        got, again, expected = np.load(outputs[0]), np.load(outputs[1]), np.load(f"{stem}.out.npz")
        off = compare(got, expected)
        for name in expected.files:
            if got[name].tobytes() != again[name].tobytes():
                raise Failed(f"output {name} is another one each time")
        return off, "interpreter" in done.stderr


def bench(model, stem, runs):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "bench.json"
        call(FRIT, "bench", model, "--device", "cuda", "--inputs", f"{stem}.in.npz", "--json", report, *(["--runs", runs] if runs else []))
        return json.loads(report.read_text())


def torch_times(names, compiled):
    """Medians of eager PyTorch, and of torch.compile, in ms."""
    import torch
    sys.path.insert(0, str(HERE.parent / "tests" / "zoo"))
    from export import ZOO
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    times = {}

    def median(run):
        for _ in range(5):
            run()
        torch.cuda.synchronize()
        taken = []
        for _ in range(50):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize()
            taken.append(start.elapsed_time(end))
        return statistics.median(taken)

    for name in names:
        torch.manual_seed(0)
        model, inputs = ZOO[name]()
        model, values = model.eval().cuda(), [value.cuda() for value in inputs.values()]
        with torch.inference_mode():
            times[name] = {"eager": median(lambda: model(*values))}
            if name in compiled:
                fast = torch.compile(model, mode="reduce-overhead")
                times[name]["compile"] = median(lambda: fast(*values))
        print(f"torch    {name:40} {times[name]}", flush=True)
    return times


def models(texts):
    found = [(f"{path.parent.name}/{path.stem}", path) for path in [*(DATA / "models").glob("*/*.onnx"), *(DATA / "zoo").glob("*.onnx")]]
    return [(name, path) for name, path in sorted(found)
            if (not texts or any(text in name for text in texts)) and (DATA / "oracles" / f"{name}.out.npz").exists()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--compile", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=4, help="models that are checked at a time")
    parser.add_argument("--runs", type=int, default=0, help="timed runs; about a second's worth by default")
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--write", action="store_true", help="write benches/results/gpu.md and .json")
    args = parser.parse_args()
    chosen = models(args.texts)
    if not chosen:
        parser.error(f"no model fits; the material is in {DATA}, which tests/setup.sh fills")
    good, failures, rows = {}, [], []

    def checked(named):
        try:
            return check(named[1], DATA / "oracles" / named[0])
        except Failed as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for (name, path), result in zip(chosen, pool.map(checked, chosen)):
            if isinstance(result, Failed):
                failures.append((name, str(result)))
                print(f"WRONG    {name:44} {result}", flush=True)
            else:
                good[name] = (path, *result)
                print(f"right    {name:44} off by {result[0]:.1e}{'  (in part interpreted)' if result[1] else ''}", flush=True)
    device = "a GPU"
    for name, (path, off, interpreted) in good.items() if not args.no_times else []:
        try:
            report = bench(path, DATA / "oracles" / name, args.runs)
        except Failed as error:
            failures.append((name, str(error)))
            print(f"FAILED   {name:44} {error}", flush=True)
            continue
        device = report["device"]
        rows.append({**report, "model": name, "off": off, "interpreted": interpreted})
        worst = sorted(report["kernels"], key=lambda kernel: -kernel["ms"])[:3]
        print(f"timed    {name:44} {report['device_ms']:9.3f} ms, host {report['median_ms']:9.3f} ms, {report['gflops'] / 1e3:6.2f} TFLOP/s, ready {report['load_ms'] / 1e3:.1f} s; "
              + ", ".join(f"{kernel['name'][:40]} {kernel['ms']:.3f}" for kernel in worst), flush=True)
    zoo = [row["model"].split("/")[1] for row in rows if row["model"].startswith("zoo/")]
    torch = torch_times(zoo, args.compile) if args.torch else {}
    head = ["model", "Frit ms", "with copies ms", "TFLOP/s", "kernels", "PyTorch eager ms", "torch.compile ms"]
    lines = ["# Frit on a GPU", "", f"Made by `benches/gpu.sh --write` on: {device}. Medians for one run, in f32 without TF32; every model's "
             "outputs were compared with its oracle first. A star: some ops run in the interpreter.", "", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in rows:
        other = torch.get(row["model"].split("/")[1], {}) if row["model"].startswith("zoo/") else {}
        times = [f"{other[key]:.3g}" if key in other else "" for key in ("eager", "compile")]
        lines.append(f"| {row['model']}{'*' if row['interpreted'] else ''} | {row['device_ms']:.3g} | {row['median_ms']:.3g} | {row['gflops'] / 1e3:.2f} | {len(row['kernels'])} | {times[0]} | {times[1]} |")
    lines += [f"\nNot timed: {name}: {why}" for name, why in failures]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.write:
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / "gpu.md").write_text(text)
        brief = [{**row, "kernels": [[kernel["name"], round(kernel["ms"], 5)] for kernel in row["kernels"]]} for row in rows]
        (HERE / "results" / "gpu.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in brief) + "\n]\n")
    print(f"gpu: {len(good)} models are right, {len(failures)} failed")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
