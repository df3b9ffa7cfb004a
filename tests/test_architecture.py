"""The house stays as drawn: import contracts, types, style, manifest, and a help that starts at once."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
        ["npe2", "validate", "napari-gimp"],
    ],
    ids=lambda command: command[0] + " " + command[-1],
)
def test_checkers_are_content(command: list[str]) -> None:
    tool = Path(sys.executable).parent / command[0]
    result = run(str(tool), *command[1:])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("code", ["import napari_gimp", "import napari_gimp.cli", "import napari_gimp.plugin.session"])
def test_the_light_doors_import_neither_torch_nor_napari(code: str) -> None:
    heavy = "{'torch', 'napari', 'qtpy', 'onnxruntime', 'sklearn'}"
    result = run(sys.executable, "-c", f"{code}; import sys; print({heavy} & set(sys.modules))")
    assert result.stdout.strip() == "set()", result.stdout + result.stderr


def test_help_imports_neither_torch_nor_napari() -> None:
    code = (
        "import sys; sys.argv = ['napari-gimp', '--help']\n"
        "from napari_gimp.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'napari'} & set(sys.modules))"
    )
    result = run(sys.executable, "-c", code)
    assert "embed" in result.stdout
    assert result.stdout.strip().endswith("set()"), result.stdout + result.stderr


def test_no_function_is_longer_than_sixty_lines() -> None:
    import ast

    long = [
        f"{path.name}:{node.name}"
        for path in (ROOT / "napari_gimp").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long
