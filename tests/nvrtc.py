#!/usr/bin/env python3
"""Compiles CUDA texts with NVRTC, which needs no GPU.

    nvrtc.py FOLDER ARCHITECTURE

Compiles every .cu file of the folder for an architecture (sm_90, or compute_75 to stop before machine code), with the
options that the run time uses, and prints what the compiler says of those that it refuses. Needs the package
nvidia-cuda-nvrtc-cu12.
"""

import concurrent.futures
import ctypes
import pathlib
import sys


def library():
    import nvidia.cuda_nvrtc
    folder = pathlib.Path(next(iter(nvidia.cuda_nvrtc.__path__))) / "lib"
    return ctypes.CDLL(str(next(folder.glob("libnvrtc.so.*[0-9]"))))


def complaint(nvrtc, path, architecture):
    """What the compiler says, or nothing."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    options = [f"--gpu-architecture={architecture}".encode(), b"--fmad=false", b"--std=c++14", b"--disable-warnings"]
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), path.read_bytes(), path.name.encode(), 0, None, None)
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return f"{path.name}: {log.value.decode()}" if status else ""


def main(folder, architecture):
    nvrtc = library()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda path: complaint(nvrtc, path, architecture), sorted(pathlib.Path(folder).glob("*.cu"))))
    print("\n".join(text for text in said if text)[:4000])
    print(f"{len(said)} texts")
    sys.exit(any(said))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
