"""Tiny self-supervised models with random weights, written as transformers does."""

import pytest
import torch


def of_transformers(folder, kind: str, stable: bool, seed: int = 1):
    """Make a network of transformers with random weights, and write it as transformers does."""
    transformers = pytest.importorskip("transformers")
    name = {"hubert": "Hubert", "wavlm": "WavLM", "wav2vec2": "Wav2Vec2", "data2vec": "Data2VecAudio"}[kind]
    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48,
        "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 4, "conv_bias": stable, "layerdrop": 0.0,
    }  # fmt: skip
    if kind == "data2vec":
        sizes |= {"conv_pos_kernel_size": 5, "num_conv_pos_embeddings": 3}
    else:
        sizes |= {"num_conv_pos_embeddings": 8, "do_stable_layer_norm": stable}
        sizes |= {"feat_extract_norm": "layer" if stable else "group", "num_buckets": 16}
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes)).eval()
    model.save_pretrained(folder)
    return model
