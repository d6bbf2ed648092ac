"""Runs a model in another engine, for `frit bench --against`.

    python -c THIS ENGINE MODEL INPUTS.npz THREADS OUTPUTS.npz

Answers in JSON, a line each: first what the engine is, when it is ready and OUTPUTS.npz holds its outputs by their order.
Then, for each line `RUNS SECONDS` that it reads (RUNS may be `-`), the milliseconds of so many runs.
"""

import sys

# Modules don't come from whatever folder the user is in.
sys.path[:] = [folder for folder in sys.path if folder]

import importlib
import json
import time


def say(what):
    print(json.dumps(what), file=out, flush=True)


def onnxruntime_session(ort, model, feed, threads):
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def openvino_session(openvino, model, feed, threads):
    net = openvino.Core().read_model(model)
    net.reshape({name: list(value.shape) for name, value in feed.items()})
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    compiled = openvino.Core().compile_model(net, "CPU", settings)
    request = compiled.create_infer_request()

    def run():
        request.infer(feed)
        return [request.get_output_tensor(at).data for at in range(len(compiled.outputs))]

    return run


SESSIONS = {"onnxruntime": onnxruntime_session, "openvino": openvino_session}


def main(engine, model, inputs, threads, outputs):
    # A package that is there but does not load is no better than none.
    packages = {}
    for name in ("numpy", engine):
        try:
            packages[name] = importlib.import_module(name)
        except ImportError as error:
            return say({"missing": name, "why": str(error)})
    np, package = packages["numpy"], packages[engine]
    run = SESSIONS[engine](package, model, dict(np.load(inputs)), int(threads))
    np.savez(outputs, *run())
    say({"version": getattr(package, "__version__", "")})
    for line in sys.stdin:
        runs, seconds = line.split()
        begin, times = time.perf_counter(), []
        while (not times or time.perf_counter() - begin < float(seconds)) if runs == "-" else len(times) < int(runs):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
        say(times)


# Whatever else an engine prints goes elsewhere.
out, sys.stdout = sys.stdout, sys.stderr
main(*sys.argv[1:])
