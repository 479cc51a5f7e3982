"""Tells the runner of WebAssembly's wasi-testsuite how to run a program as a container: see docs/wasi.md."""

import os
import subprocess
from pathlib import Path

PROGRAM = os.environ["CORACLE_WASI"]


def get_name():
    return "coracle"


def get_version():
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], encoding="UTF-8", capture_output=True, check=True)
    return commit.stdout.strip()


def get_wasi_versions():
    return ["wasm32-wasip1", "wasm32-wasip3"]


def get_wasi_worlds():
    return ["wasi:cli/command", "wasi:http/service"]


def get_timeout_seconds():
    # Every test compiles its program anew, and a machine may be busy.
    return 60


def compute_argv(test_path, args_env_root, proposals, wasi_world, wasi_version):
    args, env, root = args_env_root
    argv = [PROGRAM, "--one"]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    if root:
        # Links that earlier tests left are passed over by the runner, and found by later ones.
        for left in Path(root).glob("*.cleanup"):
            if left.is_symlink():
                left.unlink()
        argv += ["--dir", f"{root}::/"]
    return argv + [str(test_path), *args]
