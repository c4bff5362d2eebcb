"""Packed products equal the layer's own, and follow every change of the weight."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swin_dense.blocks import MLP
from swin_dense.kernels import kept_values, linear
from swin_dense.kernels.processor import emulates_bfloat16, processor_kind

packs = pytest.mark.skipif(
    not linear._has_packed_products(), reason="torch has no packed products on this processor"
)


@pytest.fixture
def mlp() -> MLP:
    """Two layers in a module that keeps values."""
    torch.manual_seed(0)
    return MLP(12, hidden_channels=20, activation="gelu").eval()


@pytest.fixture
def tokens(generator) -> torch.Tensor:
    return torch.randn(7, 12, generator=generator)


def is_packed(layer: nn.Linear) -> bool:
    return layer.weight in kept_values._kept


def plain(mlp: MLP, tokens: torch.Tensor) -> torch.Tensor:
    return mlp.fc2(F.gelu(mlp.fc1(tokens)))


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(7,), (0,), (2, 3, 5)])
def test_a_packed_product_equals_the_layer(gelu, bias, shape, generator):
    torch.manual_seed(0)
    layer = nn.Linear(12, 20, bias=bias).eval()
    tokens = torch.randn(*shape, 12, generator=generator)
    with torch.no_grad():
        expected = F.gelu(layer(tokens)) if gelu else layer(tokens)
        found = linear.linear(layer, tokens, gelu=gelu)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@packs
@pytest.mark.parametrize("kind", ["AVX-512", "AVX2"])
def test_gelu_with_the_product_and_behind_it_are_the_same(kind, mlp, tokens, monkeypatch):
    monkeypatch.setattr(linear, "processor_kind", lambda: kind)
    with torch.no_grad():
        torch.testing.assert_close(mlp(tokens), plain(mlp, tokens), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_the_layers(mlp, tokens):
    mlp(tokens).sum().backward()
    found = mlp.fc1.weight.grad.clone()
    mlp.zero_grad()
    plain(mlp, tokens).sum().backward()
    assert torch.equal(found, mlp.fc1.weight.grad)
    assert not is_packed(mlp.fc1)


@packs
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_weight_is_packed_once_in_inference(mlp, tokens, context, monkeypatch):
    calls = []
    pack = linear._pack
    monkeypatch.setattr(linear, "_pack", lambda *args: calls.append(1) or pack(*args))
    with context():
        for _ in range(3):
            mlp(tokens)
    assert len(calls) == 2  # layers


@packs
def test_every_change_of_a_weight_is_followed(mlp, tokens):
    other = MLP(12, hidden_channels=20, activation="gelu")

    def step() -> None:
        optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
        with torch.enable_grad():
            mlp(tokens).square().sum().backward()
        optimizer.step()

    def replace() -> None:
        mlp.fc1 = nn.Linear(12, 20).eval()

    changes = [
        step,
        lambda: mlp.load_state_dict(other.state_dict()),
        lambda: mlp.fc1.weight.mul_(2),
        lambda: nn.init.ones_(mlp.fc2.weight),
        lambda: setattr(mlp.fc1, "weight", nn.Parameter(torch.randn(20, 12))),
        replace,
    ]
    with torch.no_grad():
        before = mlp(tokens)
        for change in changes:
            change()
            after = mlp(tokens)
            assert is_packed(mlp.fc1)
            assert not torch.equal(after, before)
            torch.testing.assert_close(after, plain(mlp, tokens), rtol=1e-5, atol=1e-6)
            before = after


@packs
def test_a_change_of_the_mode_forgets_the_packed_weights(mlp, tokens):
    with torch.no_grad():
        mlp(tokens)
        assert is_packed(mlp.fc1)
        mlp.train()
        assert not is_packed(mlp.fc1)
        mlp(tokens)
        assert not is_packed(mlp.fc1)


def test_another_type_and_back(mlp, tokens):
    with torch.no_grad():
        expected = mlp(tokens)
        doubles = mlp.double()(tokens.double())
        assert doubles.dtype == torch.float64
        torch.testing.assert_close(doubles.float(), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(mlp.float()(tokens), expected, rtol=1e-5, atol=1e-6)
        assert mlp.to("meta")(tokens.to("meta")).is_meta


def test_autocast_gives_its_type(mlp, tokens):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = mlp(tokens), plain(mlp, tokens)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)  # two roundings


def test_weights_of_bfloat16_give_bfloat16(mlp, tokens):
    with torch.no_grad():
        expected = plain(mlp, tokens)
        found = mlp.bfloat16()(tokens.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=3e-2, atol=3e-2)


def test_tokens_of_another_type_are_refused_as_by_torch(mlp, tokens):
    with torch.no_grad(), pytest.raises(RuntimeError, match="dtype"):
        mlp(tokens.double())


@packs
def test_copies_have_packed_weights_of_their_own(mlp, tokens):
    with torch.no_grad():
        expected = mlp(tokens)
        for twin in (copy.deepcopy(mlp), pickle.loads(pickle.dumps(mlp))):
            assert not is_packed(twin.fc1)
            assert torch.equal(twin(tokens), expected)
            twin.fc2.weight.zero_()
            assert not torch.equal(twin(tokens), expected)
            assert torch.equal(mlp(tokens), expected)


def test_a_layer_with_a_hook_is_called(mlp, tokens):
    seen = []
    mlp.fc1.register_forward_hook(lambda *call: seen.append(call[-1]))
    with torch.no_grad():
        mlp(tokens)
        assert torch.equal(seen[0], mlp.fc1(tokens))
    assert not is_packed(mlp.fc1)


def test_without_the_operators_the_layer_is_called(mlp, tokens, monkeypatch):
    monkeypatch.setattr(linear, "_has_packed_products", lambda: False)
    with torch.no_grad():
        assert torch.equal(mlp(tokens), plain(mlp, tokens))
    assert not is_packed(mlp.fc1)


def test_compilers_see_the_plain_layer(mlp, tokens):
    with torch.no_grad():
        compiled = torch.compile(mlp, backend="eager", fullgraph=True)
        assert torch.equal(compiled(tokens), plain(mlp, tokens))
        exported = torch.export.export(mlp, (tokens,)).module()
        assert torch.equal(exported(tokens), plain(mlp, tokens))


def test_the_processor_has_one_kind():
    assert processor_kind()
    assert emulates_bfloat16() in (False, True)
    if processor_kind() == "AMX":
        assert not emulates_bfloat16()
