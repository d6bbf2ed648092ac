#!/usr/bin/env python3
"""Times Frit beside ONNX Runtime (and OpenVINO) on the models of the tests.

    versus.py [TEXT...] [--threads 1 2] [--rounds 5] [--seconds 0.5] [--openvino] [--write]

Takes the models whose name holds one of the TEXTs, or all. Each engine runs in a process of its own, on the
inputs of the model's oracle; the engines take turns, round after round. A model's times are medians over the
rounds of each process's median, and a ratio is the median of those within one round: machines whose cores are
slower at times slow engines that take turns alike. First outputs are checked against the oracle: a wrong
answer has no time. Nor has an engine that can't run a model; the others do. ONNX Runtime and OpenVINO optimise
as much as they can without changing f32 (so OpenVINO does not quantise what f32 weights are multiplied by,
which is its default where the weights are stored as integers). --write keeps the table in
benches/results/versus.md and the figures in versus.json.

Run it with the Python that tests/setup.sh made (tests/data/python benches/versus.py), after
cargo build --release. --openvino needs the package openvino in that Python.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import statistics
import sys
import tempfile
import time

import numpy as np

from outputs import Failed, call, compare

HERE = pathlib.Path(__file__).resolve().parent
DATA = pathlib.Path(os.environ.get("FRIT_TEST_DATA", HERE.parent / "tests" / "data"))


# -- what runs in a process of its own ---------------------------------------------------------------------

def ort_runner(model, feed, threads):
    import onnxruntime as ort
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda: session.run(None, feed), lambda results: dict(zip(names, results))


def openvino_runner(model, feed, threads):
    import openvino
    core = openvino.Core()
    net = core.read_model(model)
    net.reshape({name: list(value.shape) for name, value in feed.items()})
    request = core.compile_model(net, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }).create_infer_request()
    return lambda: request.infer(feed), lambda results: {name: value for output, value in results.items() for name in output.get_names()}


RUNNERS = {"ort": ort_runner, "openvino": openvino_runner}


def child(engine, model, inputs, threads, runs, outputs=None):
    """Time one engine; print the median in ms. Keep what it computes."""
    run, named = RUNNERS[engine](model, dict(np.load(inputs)), int(threads))
    results = run()
    if outputs:
        np.savez(outputs, **named(results))
    times = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(json.dumps({"median_ms": statistics.median(times) * 1e3}))


# -- the other side ----------------------------------------------------------------------------------------

def time_engine(engine, frit, model, inputs, threads, runs):
    if engine != "frit":
        return report_of(engine, model, inputs, threads, runs)
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "bench.json"
        call(frit, "bench", model, "--inputs", inputs, "--threads", threads, "--runs", runs, "--json", report)
        return json.loads(report.read_text())


def report_of(engine, *args):
    return json.loads(call(sys.executable, __file__, "--child", engine, *args).stdout.splitlines()[-1])


def check(engine, frit, model, stem, threads):
    """Compare an engine's outputs with the oracle."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "out.npz"
        if engine == "frit":
            call(frit, "run", model, "--inputs", f"{stem}.in.npz", "--output", output, "--threads", threads)
        else:
            report_of(engine, model, f"{stem}.in.npz", threads, 1, output)
        compare(np.load(output), np.load(f"{stem}.out.npz"))


def measure(frit, name, model, engines, threads, args):
    """One row: the engines' medians, and Frit's part of each; and why others have none."""
    stem = DATA / "oracles" / name
    rounds, extra, missing, runs = [], {}, {}, {}
    for turn in range(args.rounds + 1):
        times = {}
        for engine in [engine for engine in engines if engine not in missing]:
            try:
                if turn == 0:
                    check(engine, frit, model, stem, threads)
                report = time_engine(engine, frit, model, f"{stem}.in.npz", threads, runs.get(engine, 3))
            except Failed as error:
                if engine == "frit":
                    raise
                missing[engine] = str(error)
                continue
            # The first round is a short one, to know how many runs fill the time.
            runs.setdefault(engine, max(5, min(500, math.ceil(args.seconds * 1e3 / max(report["median_ms"], 1e-3)))))
            times[engine] = report["median_ms"]
            if engine == "frit":
                extra = {key: report[key] for key in ("compile_ms", "load_ms", "arena_bytes") if key in report}
        rounds.append(times)
    timed, rounds = [engine for engine in engines if engine not in missing], rounds[1:]
    row = {"model": name, "threads": threads, **{f"{engine}_ms": statistics.median(times[engine] for times in rounds) for engine in timed},
           **{f"frit_over_{engine}": statistics.median(times["frit"] / times[engine] for times in rounds) for engine in timed if engine != "frit"}, **extra}
    return row, missing


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    return f"{cpu}, {os.cpu_count()} logical cores, {platform.system()}"


def cell(row, key, form):
    return format(row[key], form) if key in row else "none"


def table(rows, failures, engines):
    import onnxruntime
    others = [engine for engine in engines if engine != "frit"]
    titles = {"ort": f"ONNX Runtime {onnxruntime.__version__}", "openvino": "OpenVINO"}
    head = ["model", "threads", "Frit ms", *[f"{titles[o]} ms" for o in others], *[f"Frit / {titles[o].split(' 1')[0]}" for o in others]]
    lines = ["# Frit beside other engines", "", f"Made by `benches/versus.py --write` on: {machine()}. Milliseconds for one run, "
             "medians; a ratio, the median of those within a round, above 1 means that Frit is slower.", "", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in rows:
        cells = [row["model"], str(row["threads"]), f"{row['frit_ms']:.3g}", *[cell(row, f"{o}_ms", ".3g") for o in others],
                 *[cell(row, f"frit_over_{o}", ".2f") for o in others]]
        lines.append("| " + " | ".join(cells) + " |")
    for other in others:
        for threads in sorted({row["threads"] for row in rows}):
            ratios = [row[f"frit_over_{other}"] for row in rows if row["threads"] == threads and f"frit_over_{other}" in row]
            if ratios:
                lines.append(f"\n{titles[other]}, {threads} threads: geometric mean of the ratios {statistics.geometric_mean(ratios):.2f}, largest {max(ratios):.2f}.")
    lines += [f"\nNot timed: {name}, {threads} threads: {why}" for name, threads, why in failures]
    return "\n".join(lines) + "\n"


def models(texts):
    found = [(f"{path.parent.name}/{path.stem}", path) for path in [*(DATA / "models").glob("*/*.onnx"), *(DATA / "zoo").glob("*.onnx")]]
    return [(name, path) for name, path in sorted(found)
            if (not texts or any(text in name for text in texts)) and (DATA / "oracles" / f"{name}.out.npz").exists()]


def main():
    if sys.argv[1:2] == ["--child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each process measures, about")
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--frit", type=pathlib.Path, default=HERE.parent / "target" / "release" / "frit")
    parser.add_argument("--write", action="store_true", help="write benches/results/versus.md and .json")
    args = parser.parse_args()
    if not args.frit.exists():
        parser.error(f"there is no {args.frit}; run cargo build --release")
    if args.openvino:
        try:
            import openvino  # noqa: F401
        except ImportError:
            parser.error(f"the package openvino is missing; {sys.executable} -m pip install openvino")
    chosen = models(args.texts)
    if not chosen:
        parser.error(f"no model fits; the material is in {DATA}, which tests/setup.sh fills")
    engines = ["ort", "openvino", "frit"] if args.openvino else ["ort", "frit"]

    rows, failures = [], []
    for name, path in chosen:
        for threads in args.threads:
            try:
                row, missing = measure(args.frit, name, path, engines, threads, args)
                rows.append(row)
                failures += [(name, threads, f"{engine}: {why}") for engine, why in missing.items()]
                print(f"{name:46} {threads} threads  " + "  ".join(f"{e} {cell(row, f'{e}_ms', '9.3f')} ms" for e in engines)
                      + f"  ratio {cell(row, 'frit_over_ort', '.2f')}", flush=True)
            except Failed as error:
                failures.append((name, threads, str(error)))
                print(f"{name:46} {threads} threads  NOT TIMED: {error}", flush=True)
    text = table(rows, failures, engines)
    print("\n" + text)
    if args.write:
        results = HERE / "results"
        results.mkdir(exist_ok=True)
        (results / "versus.md").write_text(text)
        (results / "versus.json").write_text(json.dumps({"machine": machine(), "rows": rows, "failures": failures}, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
