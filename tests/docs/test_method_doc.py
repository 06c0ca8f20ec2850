"""The code of docs/method.md runs as it stands there."""

import re

from places import TOP

TEXT = (TOP / "docs" / "method.md").read_text("utf-8")


def test_the_example_runs_and_uses_its_codebook(capsys):
    (code,) = re.findall(r"```python\n(.+?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/method.md", "exec"), names)
    assert names["units"].shape == (8, 50, 1)
    assert names["stats"]["used"] > 0.5
    assert "advice=''" in capsys.readouterr().out


def test_the_settings_it_names_are_the_defaults():
    from unitdisc.quantizers import VQConfig
    from unitdisc.quantizers.search import CPU_CHUNK, GPU_CHUNK

    config = VQConfig()
    schedule = config.schedule
    assert f"| {config.codes}, {config.codebooks}, {config.dim} |" in TEXT
    for name in ("warm_up", "every", "until", "reservoir"):
        assert f"| `schedule.{name}` | {getattr(schedule, name)} " in TEXT
    assert f"| `learning_rate_factor` | {config.learning_rate_factor:g} |" in TEXT
    assert (CPU_CHUNK, GPU_CHUNK) == (2**20, 2**26)


def test_a_new_codebook_is_as_far_from_its_vectors_as_it_says():
    import torch

    from unitdisc.quantizers import VQ, VQConfig

    torch.manual_seed(0)
    quantizer = VQ(320, VQConfig(codes=2048, dim=64))
    words = quantizer.codebook.detach()[0]
    assert "within ±0.053 in every dimension, with norms of 0.25" in TEXT
    assert round(float(words.abs().max()), 3) == 0.053
    assert round(float(words.norm(dim=1).mean()), 2) == 0.25
    assert "have norms of 10" in TEXT
    vectors = quantizer.project(torch.randn(4, 500, 320)).detach()
    assert round(float(vectors.norm(dim=2).mean())) == 10
