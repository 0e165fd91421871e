"""The README's Python runs as it stands, on fewer steps."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORTER = {"epochs=40": "epochs=2", "tau=20": "tau=8", "ResNet20(": "cifar_resnet(8, "}


def test_the_commands_that_the_readme_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(r"\]\(((?:docs/)?[\w.-]+\.(?:md|png|cff))\)", README):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"(?:configs|benchmarks)/\w+\.py", README):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_the_python_example_runs(tmp_path):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    for text, shorter in SHORTER.items():
        assert code.count(text) == 1, text
        code = code.replace(text, shorter)
    program = tmp_path / "example.py"
    program.write_text(code)
    result = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_NUM_INTRAOP_THREADS": "2"},
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "front.html").stat().st_size > 0
    assert list((tmp_path / "out" / "models").glob("p*.int8.tflite"))
    assert "ms at best" in result.stdout
    assert "test acc. %" in result.stdout
