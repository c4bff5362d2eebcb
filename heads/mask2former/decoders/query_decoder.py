"""Query decoder: learned queries look at the parts of the maps that their masks so far cover.

Cheng et al. 2022, Section 3.2: cross-attention within the mask first, then self-attention, then a
feed-forward network. Layer i looks at level i mod 3, coarse to fine.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.heads.mask2former.config import NUM_LEVELS
from swin_dense.heads.mask2former.decoders.pixel_decoder import DecodedPixels
from swin_dense.heads.mask2former.decoders.position_encoding import sine_encoding

_MASK_LAYERS = 3  # of the network from a query to its mask embedding


class QueryState(NamedTuple):
    """Prediction from the queries after one layer.

    Attributes:
        class_logits: `(B, Q, K + 1)`, "no object" last.
        mask_embeddings: `(B, Q, M)`; `mask_logits` makes masks of them.
    """

    class_logits: Tensor
    mask_embeddings: Tensor


def mask_logits(mask_embeddings: Tensor, features: Tensor) -> Tensor:
    """Logits `(..., H, W)` of the masks of `(..., M)` embeddings in `(M, H, W)` features.

    With a batch in front of both: `(B, Q, M)` and `(B, M, H, W)` to `(B, Q, H, W)`.
    """
    return (mask_embeddings @ features.flatten(-2)).unflatten(-1, features.shape[-2:])


class QueryDecoder(nn.Module):
    """Layers of masked attention, and what is predicted before the first and after each.

    Args:
        channels: C of queries.
        num_classes: classes K.
        mask_channels: M of the features of masks.
        in_channels: of the maps that are looked at, which are projected to C; None: they have C.
        num_queries: queries Q.
        num_heads: attention heads.
        num_layers: layers.
        ffn_channels: hidden width of the feed-forward networks.
        pre_norm: see `DecoderLayer`.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        mask_channels: int,
        in_channels: int | None = None,
        num_queries: int,
        num_heads: int,
        num_layers: int,
        ffn_channels: int,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(num_queries, channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.level_embed = nn.Embedding(NUM_LEVELS, channels)
        self.input_projs = nn.ModuleList()
        if in_channels is not None:
            projections = (_make_projection(in_channels, channels) for _ in range(NUM_LEVELS))
            self.input_projs.extend(projections)
        self.layers = nn.ModuleList(
            DecoderLayer(
                channels, num_heads=num_heads, ffn_channels=ffn_channels, pre_norm=pre_norm
            )
            for _ in range(num_layers)
        )
        self.decoder_norm = nn.LayerNorm(channels)
        self.class_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = nn.ModuleList(
            nn.Linear(channels, mask_channels if i == _MASK_LAYERS - 1 else channels)
            for i in range(_MASK_LAYERS)
        )

    def forward(self, pixels: DecodedPixels, *, last_only: bool = False) -> list[QueryState]:
        """Decode the queries of a batch of images of one size.

        Args:
            pixels: from the pixel decoder.
            last_only: leave out the classes of all layers but the last, which gives its state
                alone.

        Returns:
            A state before the first layer and one after each.
        """
        batch = len(pixels.mask_features)
        maps = [level.to(self.query_feat.weight.dtype) for level in pixels.memory]
        if self.input_projs:
            maps = [
                F.linear(level, conv.weight.flatten(1), conv.bias)
                for level, conv in zip(maps, map(_as_conv, self.input_projs), strict=True)
            ]
        values = [level + self.level_embed.weight[i] for i, level in enumerate(maps)]
        channels = values[0].shape[-1]
        keys = [
            value + sine_encoding(size, channels, device=value.device).to(value.dtype)
            for value, size in zip(values, pixels.sizes, strict=True)
        ]
        # Masks at a level's size: resizing and the product with the embedding may trade places,
        # and features are resized once where masks would be in every layer.
        features = [
            F.interpolate(pixels.mask_features.detach(), size=size, mode="bilinear")
            for size in pixels.sizes
        ]
        places = self.query_embed.weight
        queries = self.query_feat.weight.expand(batch, -1, -1)  # (B, Q, C)
        states = []
        for i, layer in enumerate(self.layers):
            level = i % NUM_LEVELS
            normed = self.decoder_norm(queries)
            embeddings = self._embed_masks(normed)
            if not last_only:
                states.append(QueryState(self.class_embed(normed), embeddings))
            is_open = _attention_mask(embeddings, features[level])  # (B, Q, H_l*W_l)
            queries = layer(queries, places, keys[level], values[level], is_open)
        normed = self.decoder_norm(queries)
        states.append(QueryState(self.class_embed(normed), self._embed_masks(normed)))
        return states

    def _embed_masks(self, queries: Tensor) -> Tensor:
        for i, layer in enumerate(self.mask_embed):
            queries = layer(queries.relu() if i else queries)
        return queries


class DecoderLayer(nn.Module):
    """Masked cross-attention, self-attention, feed-forward network; a norm after each.

    Args:
        channels: C of queries, keys and values.
        num_heads: attention heads.
        ffn_channels: hidden width of the feed-forward network.
        pre_norm: normalise what goes into each part instead of the sum that comes out.
    """

    def __init__(
        self, channels: int, *, num_heads: int, ffn_channels: int, pre_norm: bool = False
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.cross_attn = Attention(channels, num_heads=num_heads)
        self.cross_norm = nn.LayerNorm(channels)
        self.self_attn = Attention(channels, num_heads=num_heads)
        self.self_norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, ffn_channels)
        self.linear2 = nn.Linear(ffn_channels, channels)
        self.ffn_norm = nn.LayerNorm(channels)
        for layer in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, queries: Tensor, places: Tensor, keys: Tensor, values: Tensor, is_open: Tensor
    ) -> Tensor:
        """Let queries look at a level's cells, then at each other.

        Args:
            queries: `(B, Q, C)`.
            places: `(Q, C)`, what tells the queries apart.
            keys: `(B, S, C)` cells of the level with their positions.
            values: `(B, S, C)` the same without.
            is_open: `(B, Q, S)` bool, where a query may look.

        Returns:
            `(B, Q, C)`.
        """

        def attend_cells(queries: Tensor) -> Tensor:
            return self.cross_attn(queries + places, keys, values, is_open)

        def attend_queries(queries: Tensor) -> Tensor:
            placed = queries + places
            return self.self_attn(placed, placed, queries)

        def feed_forward(queries: Tensor) -> Tensor:
            return self.linear2(self.linear1(queries).relu())

        for part, norm in (
            (attend_cells, self.cross_norm),
            (attend_queries, self.self_norm),
            (feed_forward, self.ffn_norm),
        ):
            if self.pre_norm:
                queries = queries + part(norm(queries))
            else:
                queries = norm(queries + part(queries))
        return queries


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017), its three projections in one weight."""

    def __init__(self, channels: int, *, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, is_open: Tensor | None = None
    ) -> Tensor:
        """`(B, Q, C)`, `(B, S, C)`, `(B, S, C)` and `(B, Q, S)` bool to `(B, Q, C)`."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(inputs, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for inputs, weight, bias in zip((queries, keys, values), weights, biases, strict=True)
        )  # (B, nH, Q or S, D)
        mask = None if is_open is None else is_open[:, None]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, nH, Q, D)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


def _as_conv(module: nn.Module) -> nn.Conv2d:
    assert isinstance(module, nn.Conv2d)
    return module


def _make_projection(in_channels: int, channels: int) -> nn.Conv2d:
    """1 x 1 convolution, as files have it, with Caffe2's initial values, as released."""
    conv = nn.Conv2d(in_channels, channels, 1)
    assert conv.bias is not None
    nn.init.kaiming_uniform_(conv.weight, a=1)
    nn.init.zeros_(conv.bias)
    return conv


@torch.no_grad()
def _attention_mask(mask_embeddings: Tensor, features: Tensor) -> Tensor:
    """Where each query may look: where its mask is, or anywhere if it has none: `(B, Q, H*W)`.

    Logits are compared in float32: closer to 0 than its sigmoid can tell from 0.5 counts as inside.
    """
    logits = (mask_embeddings.to(features.dtype) @ features.flatten(2)).float()
    is_inside = logits.sigmoid() >= 0.5
    return is_inside | ~is_inside.any(dim=-1, keepdim=True)
