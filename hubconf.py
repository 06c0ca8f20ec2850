"""For torch.hub: `torch.hub.load(REPOSITORY, "model", FOLDER)`, where FOLDER is what `unitdisc.load_model` takes."""

dependencies = ["kaldiio", "numba", "numpy", "safetensors", "scipy", "soundfile", "textgrid", "torch", "tqdm", "yaml"]


def model(path: str, device: str = "cpu"):  # type: ignore[no-untyped-def]
    """Return a trained model: `.units(wave, rate)`, `.vectors`, `.speak`, `.convert`; see docs/python.md."""
    import unitdisc

    return unitdisc.load_model(path, device)
