"""A folder of photographs becomes figures by two commands, as a new user types them."""

from toys.checkout import Checkout
from toys.plates import draw_category


def test_the_command_that_init_prints_works(parts, tmp_path):
    draw_category(tmp_path / "own" / "screw")
    checkout = Checkout(tmp_path / "checkout")
    checkout.lay_out(parts)

    lines = checkout.run("python", "-m", "pipelines.cli", "init", str(tmp_path / "own")).stdout.splitlines()

    assert "  screw: train: 16 normal, 0 anomalous; test: 6 normal, 6 anomalous; 6 masks" in lines
    command = lines[-1].removeprefix("next: .venv/bin/")
    assert command == "dvc repro evaluate@own-screw benchmark@own-screw"
    checkout.run(*command.split())
    assert (checkout.root / "reports" / "own" / "screw" / "metrics.json").is_file()
    assert (checkout.root / "reports" / "own" / "screw" / "benchmark.json").is_file()
