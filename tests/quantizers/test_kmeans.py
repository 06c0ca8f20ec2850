"""k-means: equal to plain iterations, as good as scikit-learn, in bounded memory."""

import numpy as np
import pytest
import reference_quantizers as reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster

from unitdisc.errors import CheckpointError, UnitdiscError
from unitdisc.quantizers import KMeans, KMeansConfig, kmeans_of_stream
from unitdisc.quantizers.clustering import kmeans, lloyd, seed_centres


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(20, 80), codes=st.integers(2, 8), shift=st.sampled_from([0.0, 100.0]), seed=st.integers(0, 9999))
def test_skipping_what_cannot_change_equals_plain_iterations(n, codes, shift, seed):
    x = draw(n, 3, seed=seed) + shift
    centres = x[:codes].clone()
    found = lloyd(x, centres, 6, tolerance=-1e9)
    known, inertia = reference.lloyd(x, centres, 6)
    assert found.iterations == 6
    assert found.inertia == pytest.approx(inertia, rel=1e-3)
    torch.testing.assert_close(found.centres.double(), known, rtol=1e-3, atol=1e-3)
    assert int(found.counts.sum()) == n


def test_from_the_same_start_equal_to_sklearn():
    x = draw(600, 8)
    start = x[:40].clone()
    theirs = cluster.KMeans(40, init=start.numpy(), n_init=1, max_iter=300, tol=0).fit(x.numpy())
    ours = lloyd(x, start, 300, tolerance=0)
    torch.testing.assert_close(ours.centres, torch.from_numpy(theirs.cluster_centers_), rtol=1e-4, atol=1e-4)
    assert ours.inertia * 600 == pytest.approx(theirs.inertia_, rel=1e-5)


def test_inertia_within_one_per_cent_of_sklearn():
    x = draw(3000, 16).cumsum(1) * 0.3
    ours = [kmeans(x, 150, seeded(s)).inertia for s in range(3)]
    theirs = [cluster.k_means(x.numpy(), 150, n_init=1, random_state=s)[2] / 3000 for s in range(3)]
    assert np.mean(ours) < 1.01 * np.mean(theirs)


def test_seeds_are_distinct_vectors_and_better_than_chance():
    x = torch.cat([draw(300, 4, seed=c) * 0.1 + 10 * draw(1, 4, seed=50 + c) for c in range(12)])
    for seed in range(5):
        centres, found = seed_centres(x, 12, seeded(seed))
        units, distances = reference.search(x, centres)
        assert torch.equal(found.units, units)
        torch.testing.assert_close(found.distances.double(), distances.amin(1), rtol=1e-3, atol=1e-3)
        assert len(centres.unique(dim=0)) == 12
        # Every one of the clusters has a seed: chance would do this once in 20,000 trials.
        assert len(torch.cdist(centres, x.view(12, 300, 4).mean(1)).argmin(1).unique()) == 12
        # The seeds are the vectors themselves.
        assert torch.cdist(centres, x, compute_mode="donot_use_mm_for_euclid_dist").amin(1).max() < 1e-4


def test_the_first_two_seeds_follow_the_squared_distance():
    # Without greed the second of two seeds is drawn by squared distance; greed may only prefer what lowers the inertia.
    x = torch.tensor([[0.0], [0.1], [0.2], [10.0], [10.1]])
    pairs = [seed_centres(x, 2, seeded(s))[0].flatten().tolist() for s in range(200)]
    assert all((a < 5) != (b < 5) for a, b in pairs)
    firsts = torch.tensor([[x.flatten().tolist().index(min(x.flatten().tolist(), key=lambda v, a=a: abs(v - a)))
                            for a, _ in pairs]])  # fmt: skip
    assert torch.bincount(firsts.flatten(), minlength=5).min() > 20  # the first is uniform: 40 each


def test_the_same_generator_the_same_centres():
    x = draw(500, 4)
    assert torch.equal(kmeans(x, 30, seeded(3)).centres, kmeans(x, 30, seeded(3)).centres)


def test_chunks_do_not_matter():
    x = draw(500, 4)
    one, other = kmeans(x, 30, seeded(3)), kmeans(x, 30, seeded(3), floats=100)
    assert one.inertia == pytest.approx(other.inertia, rel=1e-4)


@pytest.mark.parametrize("distinct", [1, 3, 10])
def test_fewer_distinct_vectors_than_codes(distinct):
    x = draw(distinct, 4).repeat(7, 1)
    found = kmeans(x, 10, seeded(0))
    assert found.inertia < 1e-9 + 1e-6 * float(x.square().sum(1).mean())
    assert len(found.centres.unique(dim=0)) == 10
    assert torch.isfinite(found.centres).all()


def test_no_vectors_at_all():
    with pytest.raises(UnitdiscError, match="no vectors to make 5 codes from"):
        kmeans(torch.zeros(0, 4), 5, seeded(0))


def test_empty_clusters_move_to_the_vectors_that_are_worst_off():
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0], [50.0]])
    found = lloyd(x, torch.tensor([[0.0], [1000.0], [2000.0]]), 50, 0)
    assert sorted(found.centres.flatten().tolist()) == [0.5, 10.5, 50.0]


def test_a_stream_in_blocks_equals_iterations_over_all():
    x = draw(900, 5)
    found = kmeans_of_stream(lambda: iter(x.split(77)), 20, seeded(0), passes=3, sample=200)
    assert found.iterations == 3
    assert int(found.counts.sum()) == 900
    units, distances = reference.search(x, found.centres)
    assert found.inertia == pytest.approx(float(distances.min(1).values.mean()), rel=1e-5)
    assert torch.equal(found.counts, torch.bincount(units, minlength=20))
    more = kmeans_of_stream(lambda: iter(x.split(301)), 20, seeded(0), passes=3, sample=200)
    torch.testing.assert_close(more.centres, found.centres, rtol=1e-4, atol=1e-4)


def test_a_quantiser_of_any_features():
    x = draw(3, 300, 5)
    q = KMeans(5, KMeansConfig(codes=20))
    with pytest.raises(UnitdiscError, match="call fit_"):
        q.encode(x)
    q.fit_(lambda: iter(x), seeded(0))
    out = q(x)
    assert torch.equal(out.units[..., 0].flatten(), reference.search(x.view(-1, 5), q.codebook[0])[0])
    assert torch.equal(out.values, q.decode(out.units))
    assert out.stats["used"] == 1.0
    mask = torch.arange(300) < torch.tensor([[300], [1], [0]])
    assert (q(x, mask).units[~mask] == -1).all()
    assert (q(x, mask).values[~mask] == 0).all()
    other = KMeans(5, KMeansConfig(codes=20))
    other.load_state_dict(q.state_dict())
    assert torch.equal(other.encode(x), q.encode(x))
    with pytest.raises(CheckpointError, match="expected"):
        KMeans(5, KMeansConfig(codes=21)).load_state_dict(q.state_dict())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float):
    x = torch.randn(50, 3, generator=seeded(0))
    x[7, 1] = value
    with pytest.raises(UnitdiscError, match="1 of 50 vectors of the vectors to cluster hold NaN or infinity"):
        kmeans(x, 4, seeded(1))
    blocks = [torch.randn(50, 3, generator=seeded(2)), x]
    with pytest.raises(UnitdiscError, match="hold NaN or infinity"):
        kmeans_of_stream(lambda: blocks, 4, seeded(1), sample=10)


def test_an_empty_stream():
    with pytest.raises(UnitdiscError, match="empty"):
        kmeans_of_stream(list, 4, seeded(0))


@pytest.mark.gpu
def test_a_stream_on_a_gpu_has_the_centres_of_one_on_the_cpu():
    blocks = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)).split(500)
    one = kmeans_of_stream(lambda: blocks, 10, torch.Generator().manual_seed(1))
    two = kmeans_of_stream(lambda: [block.cuda() for block in blocks], 10, torch.Generator().manual_seed(1))
    assert abs(two.inertia / one.inertia - 1) < 0.05
