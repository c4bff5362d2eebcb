"""The query decoder: attention within masks, states of all layers."""

import torch

from swin_dense.heads.mask2former.decoders.pixel_decoder import DecodedPixels
from swin_dense.heads.mask2former.decoders.query_decoder import (
    Attention,
    QueryDecoder,
    _attention_mask,
    mask_logits,
)

SIZES = ((1, 2), (2, 4), (4, 8))


def make() -> QueryDecoder:
    return QueryDecoder(
        32, 3, mask_channels=32, num_queries=5, num_heads=4, num_layers=4, ffn_channels=8
    )


def pixels() -> DecodedPixels:
    memory = tuple(torch.randn(2, height * width, 32) for height, width in SIZES)
    return DecodedPixels(torch.randn(2, 32, 8, 16), memory, SIZES)


def test_there_is_a_state_before_the_first_layer_and_after_each() -> None:
    states = make()(pixels())
    assert len(states) == 5
    for state in states:
        assert state.class_logits.shape == (2, 5, 4)
        assert state.mask_embeddings.shape == (2, 5, 32)


def test_the_last_state_alone_is_the_same() -> None:
    decoder, decoded = make(), pixels()
    (last,) = decoder(decoded, last_only=True)
    torch.testing.assert_close(last, decoder(decoded)[-1], rtol=0, atol=0)


def test_attention_is_that_of_torch() -> None:
    ours, theirs = Attention(8, num_heads=2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    queries, keys, values = torch.randn(2, 3, 8), torch.randn(2, 5, 8), torch.randn(2, 5, 8)
    is_open = torch.rand(2, 3, 5) > 0.5
    is_open[..., 0] = True
    mask = ~is_open.repeat_interleave(2, dim=0)
    expected = theirs(queries, keys, values, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(ours(queries, keys, values, is_open), expected)


def test_a_query_without_a_mask_may_look_anywhere() -> None:
    features = torch.tensor([[[[1.0, -1, 0]]]])  # (1, 1, 1, 3)
    embeddings = torch.tensor([[[1.0], [-1], [0]]])
    found = _attention_mask(embeddings, features)
    assert found.tolist() == [[[True, False, True], [False, True, True], [True, True, True]]]
    nowhere = _attention_mask(embeddings[:, :1], -features[..., :1])
    assert nowhere.tolist() == [[[True]]]


def test_mask_logits_are_products_with_the_features() -> None:
    embeddings, features = torch.randn(2, 3, 4), torch.randn(2, 4, 5, 6)
    expected = torch.einsum("bqc,bchw->bqhw", embeddings, features)
    torch.testing.assert_close(mask_logits(embeddings, features), expected)
