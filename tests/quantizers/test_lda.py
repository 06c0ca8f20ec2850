"""Linear discriminant analysis: the directions of a known case, those of another program, and of degenerate data."""

import pytest
import torch
from scipy.linalg import subspace_angles

from unitdisc.errors import UnitdiscError
from unitdisc.networks.encoders.configs import LinearEncoderConfig
from unitdisc.networks.encoders.linear import LinearEncoder
from unitdisc.quantizers.lda import Scatter, spliced


def classes_of(count: int, dim: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(5, (count,), generator=random)
    means = 3 * torch.randn(5, dim, generator=random)
    mixing = torch.randn(dim, dim, generator=random)
    return means[labels] + torch.randn(count, dim, generator=random) @ mixing, labels


def test_directions_are_those_of_scikit_learn():
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    x, y = classes_of(4000, 7)
    scatter = Scatter(5, 7)
    for part in range(0, 4000, 700):
        scatter.add_(x[part : part + 700], y[part : part + 700])
    ours = scatter.projection(4).directions
    theirs = discriminant.LinearDiscriminantAnalysis(solver="eigen").fit(x.numpy(), y.numpy()).scalings_[:, :4]
    assert subspace_angles(ours.numpy(), theirs).max() < 0.01
    for k in range(4):
        assert subspace_angles(ours[:, k : k + 1].numpy(), theirs[:, k : k + 1]).max() < 0.02


def test_the_deviation_within_classes_is_one():
    x, y = classes_of(5000, 6)
    scatter = Scatter(5, 6)
    scatter.add_(x, y)
    projected = scatter.projection(3)(x)
    centred = projected - torch.stack([projected[y == k].mean(0) for k in range(5)])[y]
    torch.testing.assert_close(centred.std(0), torch.ones(3), atol=0.02, rtol=0)


@pytest.mark.parametrize("x", [torch.zeros(20, 4), torch.ones(20, 4), torch.ones(1, 4)])
def test_vectors_that_do_not_differ_give_finite_directions(x: torch.Tensor):
    scatter = Scatter(3, 4)
    scatter.add_(x, torch.zeros(len(x), dtype=torch.int64))
    assert torch.isfinite(scatter.projection(2)(x)).all()


def test_no_vectors_are_an_error():
    with pytest.raises(UnitdiscError, match="no vectors"):
        Scatter(3, 4).projection(2)


def test_spliced_frames_have_their_neighbours_beside_them():
    x = torch.arange(4.0)[:, None]
    assert spliced(x, 1).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert spliced(x, 0) is x
    assert spliced(x[:1], 2).tolist() == [[0, 0, 0, 0, 0]]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_linear_encoder_is_the_mean_of_spliced_and_projected_frames(stride: int):
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    encoder = LinearEncoder(LinearEncoderConfig(splice=2, dim=4, stride=stride), 3)
    encoder.origin.copy_(torch.arange(15.0))
    encoder.directions.copy_(torch.randn(15, 4, generator=torch.Generator().manual_seed(1)))
    got, lengths = encoder(x[None], torch.tensor([7]))
    each = (spliced(x, 2) - encoder.origin) @ encoder.directions
    each = torch.cat([each, each[-1:].expand(-7 % stride, -1)])  # the last frame stands for those that are missing
    torch.testing.assert_close(got[0], each.view(-1, stride, 4).mean(1))
    assert lengths.tolist() == [-(-7 // stride)]
