"""Runs every suite of a checkout of the wasi-testsuite that has built programs, by its own runner: run.py CHECKOUT."""

import enum
import sys
from pathlib import Path

checkout = Path(sys.argv[1])
sys.path.insert(0, str(checkout / "test-runner"))

if sys.version_info < (3, 12):
    # The runner asks whether an enumeration has a value, which Python 3.12 began to answer.
    enum.EnumMeta.__contains__ = lambda cls, value: value in list(cls) or value in {member.value for member in cls}

from wasi_test_runner import runtime_adapter  # noqa: E402
from wasi_test_runner.harness import run_tests  # noqa: E402

suites = sorted(manifest.parent for manifest in (checkout / "tests").rglob("manifest.json"))
suites = [suite for suite in suites if any(suite.glob("*.wasm"))]
adapter = runtime_adapter.RuntimeAdapter(str(Path(__file__).parent / "coracle.py"))
sys.exit(run_tests([adapter], suites, color=False))
