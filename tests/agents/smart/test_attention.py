"""Kernels against hand-worked cases and against their plain versions, forward and backward."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from trafficgym_agents.policies.smart.attention import CHUNK, normalised
from trafficgym_agents.policies.smart.edge_attention import edge_attention, plain_edge_attention
from trafficgym_agents.policies.smart.edges import Edges, edges_from
from trafficgym_agents.policies.smart.fourier import FourierEmbedding, Tables
from trafficgym_agents.policies.smart.relation_tables import backward
from trafficgym_agents.policies.smart.table_reading import plain_read_tables, read_tables

Tensor = Any
HEADS, SIZE, WIDTH = 3, 4, 10


def edges_of(*counts: int, num_sources: int = 6) -> Edges:
    """So many edges of each destination, from any sources."""
    rng = np.random.default_rng(len(counts))
    source = [np.sort(rng.choice(num_sources, n, replace=False)) for n in counts]
    return edges_from(np.concatenate([np.zeros(0, np.int64), *source]), np.cumsum([0, *counts]))


def arguments(edges: Edges, scale: float = 1.0, num_sources: int = 6) -> list[Tensor]:
    """Query, keys and values, bent query, relation."""
    num, rng = len(edges.offsets) - 1, torch.Generator().manual_seed(0)
    shapes = (num, HEADS * SIZE), (num_sources, 2 * HEADS * SIZE), (num, HEADS, WIDTH), (len(edges), WIDTH)
    return [(scale * torch.randn(shape, generator=rng)).requires_grad_() for shape in shapes]


def gradients(outputs: Any, inputs: list[Tensor]) -> list[Tensor]:
    """Of a sum with weights that are all different."""
    rng = torch.Generator().manual_seed(1)
    total = sum((out * torch.randn(out.shape, generator=rng)).sum() for out in outputs)
    return list(torch.autograd.grad(total, inputs))


def check_same(found: Any, want: Any, rtol: float = 1e-5) -> None:
    for one, other in zip(found, want, strict=True):
        largest = float(other.detach().abs().max()) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * max(1.0, largest))


@pytest.mark.parametrize(
    ("counts", "scale"),
    [
        ((3, 0, 6, 1, 0), 1.0),
        ((0, 0), 1.0),  # nobody sees anything
        ((1,), 1.0),
        ((4, 6), 8.0),  # logits of hundreds: the largest takes all
        ((), 1.0),
    ],
)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_kernel_does_what_torch_does(counts: tuple[int, ...], scale: float, dropout: float) -> None:
    edges = edges_of(*counts)
    given = arguments(edges, scale)
    torch.manual_seed(3)
    found = edge_attention(*given, edges, dropout)
    torch.manual_seed(3)
    keep = None if not dropout else torch.empty(len(edges), HEADS).bernoulli_(1 - dropout).div_(1 - dropout)
    want = plain_edge_attention(*given, edges, keep)
    exact = plain_edge_attention(*(t.double() for t in given), edges, None if keep is None else keep.double())
    check_same(found, want)
    check_same([t.double() for t in found], exact)
    check_same(gradients(found, given), gradients(want, given), 1e-4)


def test_softmax_by_hand() -> None:
    """Two sources whose logits differ by ln 3 weigh 1/4 and 3/4; half of the difference comes from the relation."""
    edges = edges_from(np.array([1, 0]), np.array([0, 2, 2]))
    half = math.log(3) / 2
    query, bent = torch.tensor([[1.0], [5.0]]), torch.tensor([[[1.0]], [[5.0]]])
    keys_values = torch.tensor([[half, 8.0], [0.0, 4.0]])  # key, value
    relation = torch.tensor([[0.0], [half]])
    found = edge_attention(query, keys_values, bent, relation, edges)
    torch.testing.assert_close(found.values, torch.tensor([[7.0], [0.0]]))
    torch.testing.assert_close(found.relations, torch.tensor([[[0.75 * half]], [[0.0]]]))


def test_no_gradient_for_relations_that_want_none() -> None:
    """As where the embeddings are frozen; the other gradients are what they were."""
    edges = edges_of(3, 0, 5)
    given = arguments(edges)
    want = gradients(edge_attention(*given, edges), given)[:3]
    fixed = [*given[:3], given[3].detach()]
    check_same(gradients(edge_attention(*fixed, edges), fixed[:3]), want, 1e-6)


def test_dropout_keeps_the_mean() -> None:
    """Averaged over masks, what is seen is what is seen without; fixed seed, four standard errors."""
    edges, draws = edges_of(6), 400
    given = [t.detach() for t in arguments(edges)]
    torch.manual_seed(0)
    seen = torch.stack([edge_attention(*given, edges, 0.3).values for _ in range(draws)])
    want, error = edge_attention(*given, edges).values, seen.std(0) / math.sqrt(draws)
    assert ((seen.mean(0) - want).abs() < 4 * error).all()


def test_tables_are_read_as_torch_reads_them() -> None:
    """At rows, between them, at both ends and beyond; the same rows many times."""
    rng, sizes = torch.Generator().manual_seed(0), (5, 9, 2)
    rows = torch.randn((16, 7), generator=rng).requires_grad_()
    place = torch.rand((200, 3), generator=rng) * (torch.tensor(sizes) - 1)
    place[:3] = torch.tensor([[0.0, 8, 1], [-1e-6, 8.00001, 2], [-3, 99, 0.5]])
    found, want = read_tables(rows, place, sizes), plain_read_tables(rows, place, sizes)
    torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found[0], rows[0] + rows[13] + rows[15])
    torch.testing.assert_close(found[2], rows[0] + rows[13] + (rows[14] + rows[15]) / 2)
    check_same(gradients([found], [rows]), gradients([want], [rows]))
    assert read_tables(rows, place[:0], sizes).shape == (0, 7)
    norm, others = torch.nn.LayerNorm(7), torch.randn((200, 7), generator=rng)
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    for beside in (None, others):
        want = norm(plain_read_tables(rows, place, sizes) + (0 if beside is None else beside)).relu()
        check_same([read_tables(rows, place, sizes, beside, norm)], [want])
        with torch.no_grad():
            given = None if beside is None else beside.clone()  # it may be written to
            check_same([read_tables(rows, place, sizes, given, norm)], [want])
    assert read_tables(rows, place[:0], sizes, None, norm).shape == (0, 7)


def embedding() -> FourierEmbedding:
    torch.manual_seed(0)
    found = FourierEmbedding(3, 16, 8)
    torch.nn.init.normal_(found.freqs.weight, std=0.05)
    return found


def test_tables_of_an_embedding() -> None:
    """At rows they are exact; between them the error falls about with the square of the spacing; gradients agree."""
    exact, (low, high) = embedding(), ((0.0, -math.pi, -math.pi), (30.0, math.pi, math.pi))
    share = torch.rand((500, 3), generator=torch.Generator().manual_seed(0))
    values = torch.tensor(low) + share * (torch.tensor(high) - torch.tensor(low))
    error = {}
    for size in (65, 257, 1025):
        tables = Tables(exact, low, high, (size,) * 3)
        away = (tables(values) - exact(values)).abs().detach()
        error[size] = away.mean()
        ends = torch.tensor([low, high])
        torch.testing.assert_close(tables(ends), exact(ends), rtol=0, atol=1e-5)
    assert away.max() < 1e-3  # beside the kinks of a ReLU it falls with the spacing itself
    assert error[257] < error[65] / 8 and error[1025] < error[257] / 8 and error[1025] < 2e-5
    parameters = list(exact.parameters())
    found, want = (gradients([embed(values)], parameters) for embed in (Tables(exact, low, high, (16385,) * 3), exact))
    for one, other in zip(found, want, strict=True):
        assert (one - other).norm() < 1e-2 * other.norm()


def test_tables_of_the_past() -> None:
    """Slots are rows of their own; what is further away than tables reach is computed."""
    torch.manual_seed(0)
    exact = FourierEmbedding(4, 16, 8)
    tables = backward(exact, 10.0, 3, 1024, False)
    values = torch.tensor([[12.3, 3.0, -0.2, -1], [0.0, 0.0, 0.0, -3], [29.9, -3.0, 3.0, -2]])
    torch.testing.assert_close(tables(values), exact(values), rtol=0, atol=1e-3)
    assert not torch.equal(tables(values), exact(values))
    values[1, 0] = 31.0
    torch.testing.assert_close(tables(values), exact(values), rtol=0, atol=0)
    assert backward(exact, 10.0, 3, 0, False) is exact


@pytest.mark.parametrize("kind", ["exact", "tables"])
def test_no_gradient_for_embeddings_that_want_none(kind: str) -> None:
    """As where they are frozen: nothing is kept to go back by; else gradients reach every parameter."""
    embed, values = embedding(), torch.rand((9, 3))
    for wanted in (True, False):
        embed.requires_grad_(wanted)
        used = embed if kind == "exact" else Tables(embed, (0.0,) * 3, (1.0,) * 3, (65,) * 3)
        found = normalised(used, values)
        assert found.requires_grad == wanted
        if wanted:
            want = found.detach()
            assert all(gradient.abs().sum() > 0 for gradient in gradients([found], list(embed.parameters())))
    torch.testing.assert_close(found, want, rtol=0, atol=1e-5)


def test_embedding_in_parts() -> None:
    """Without gradient, edges are embedded in parts that stay in the cache; nothing else changes."""
    embed, values = embedding(), torch.rand((2 * CHUNK + 3, 3))
    whole = normalised(embed, values)
    with torch.no_grad():
        torch.testing.assert_close(normalised(embed, values), whole, rtol=0, atol=1e-5)
        assert normalised(embed, values[:0]).shape == (0, 16)
    torch.testing.assert_close(whole.mean(-1), torch.zeros(len(values)), rtol=0, atol=1e-5)
