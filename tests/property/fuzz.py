"""Coverage-guided fuzzing of one reader: `python tests/property/fuzz.py TARGET --seconds 60`.

Needs atheris (`pip install -e '.[dev,fuzz]'`). Without it, `test_fuzz_readers.py` mutates the same
seeds with hypothesis. What fails is kept, told once, and does not end the run; exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import traceback
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

INPUT_TIMEOUT_S = 10
MEMORY_MB = 2048
MAX_INPUT_BYTES = 16_384


def main() -> int:
    """Run a target for some seconds in a process of its own, and sum up."""
    arguments = _arguments()
    if importlib.util.find_spec("atheris") is None:
        click.echo("atheris is not installed: pip install -e '.[dev,fuzz]', where it has a wheel")
        return 2
    if arguments.child:
        _fuzz(arguments.target, arguments.seconds, arguments.folder)
    folder: Path = arguments.folder / arguments.target
    folder.mkdir(parents=True, exist_ok=True)
    for finding in folder.glob("finding-*"):
        finding.unlink()
    child = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--child"],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    executed = re.findall(r"^#(\d+).*? cov: (\d+) ft: (\d+)", child.stderr, re.MULTILINE)
    runs, edges, _ = executed[-1] if executed else ("0", "0", "0")
    findings = sorted(folder.glob("finding-*.txt"))
    click.echo(f"{arguments.target}: {runs} executions, {edges} edges, {len(findings)} findings")
    for finding in findings:
        click.echo(f"{finding} " + finding.read_text("utf-8").splitlines()[-1][:300])
    if child.returncode or not executed:
        click.echo(child.stderr[-3000:])
    return int(bool(findings or child.returncode or not executed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _fuzz(name: str, seconds: int, root: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["leadstream"]):
        from fuzz_targets import INTERESTING, TARGETS

        target = TARGETS[name]
        seeds = target.seeds()
        seeds += [seeds[0][:1] + word for word in INTERESTING if len(word) > 64]
    folder = root / name
    corpus = folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    words = [word for word in INTERESTING if len(word) <= 64]
    dictionary = folder / "words.dict"
    lines = ('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in words)
    dictionary.write_text("\n".join(lines) + "\n", "utf-8")
    told: set[str] = set()

    def one(data: bytes) -> None:
        try:
            target.run(data)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            place = f"{type(error).__name__} {where} {str(error)[:60]}"
            if place in told:
                return
            told.add(place)
            (folder / f"finding-{len(told)}.bin").write_bytes(data)
            text = "".join(traceback.format_exception(error, limit=-12))
            (folder / f"finding-{len(told)}.txt").write_text(text, "utf-8", "replace")

    options = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-dict={dictionary}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
