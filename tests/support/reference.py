"""Slow implementations that are plainly right, for comparison."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from swin_dense.backbone import SwinTransformer
from swin_dense.blocks import PatchMerging, SwinBlock, SwinMLPBlock


def swin_features(backbone: SwinTransformer, image: Tensor) -> list[Tensor]:
    """Feature maps of one `(3, H, W)` image, by loops over pixels, windows and tokens.

    No mask is built: a token attends to the tokens of its window that it lies beside in the image.
    """
    size = backbone.config.patch_size
    rows, columns = (math.ceil(side / size) for side in image.shape[1:])
    tokens = torch.zeros(rows, columns, backbone.config.embed_dim)
    kernel = backbone.patch_embed.proj.weight
    for row in range(rows):
        for column in range(columns):
            patch = torch.zeros(3, size, size)
            pixels = image[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
            patch[:, : pixels.shape[1], : pixels.shape[2]] = pixels
            tokens[row, column] = (kernel * patch).sum(dim=(1, 2, 3))
    tokens = backbone.patch_embed.norm(tokens + backbone.patch_embed.proj.bias)
    features = []
    for index, stage in enumerate(backbone.layers):
        for number, block in enumerate(stage.blocks):
            window = backbone.config.window_size
            is_shifted = backbone.config.shift_narrow_maps or min(tokens.shape[:2]) > window
            shift = window // 2 if number % 2 and is_shifted else 0
            work = swin_mlp_block if isinstance(block, SwinMLPBlock) else swin_block
            tokens = work(block, tokens, shift=shift)
        norm = getattr(backbone, f"norm{index}")
        normed = F.layer_norm(tokens, norm.weight.shape, norm.weight, norm.bias, norm.eps)
        features.append(normed.permute(2, 0, 1))
        if stage.downsample is not None:
            tokens = patch_merging(stage.downsample, tokens)
    return features


def swin_block(block: SwinBlock, tokens: Tensor, *, shift: int) -> Tensor:
    """One block on `(H, W, C)` tokens."""
    tokens = tokens + window_attention(block, block.norm1(tokens), shift=shift)
    hidden = block.mlp.activation(block.mlp.fc1(block.norm2(tokens)))
    return tokens + block.mlp.fc2(hidden)


def window_attention(block: SwinBlock, tokens: Tensor, *, shift: int) -> Tensor:
    """Attention of `(H, W, C)` tokens, window by window and token by token.

    Slots of the padded map beyond the tokens hold zeros. With a shift, windows start `shift` rows
    lower and further right, and the last ones go on at the other side of the map; what lies there
    is not beside the rest of the window.
    """
    attention = block.attn
    window, heads = attention.window_size, attention.num_heads
    height, width, channels = tokens.shape
    padded_height, padded_width = (math.ceil(side / window) * window for side in (height, width))
    padded = torch.zeros(padded_height, padded_width, channels)
    padded[:height, :width] = tokens
    query, key, value = attention.qkv(padded).unflatten(2, (3, heads, -1)).unbind(2)
    output = torch.zeros(height, width, channels)
    for top in range(shift, padded_height + shift, window):
        for left in range(shift, padded_width + shift, window):
            slots = [(top + y, left + x) for y in range(window) for x in range(window)]
            for here in slots:
                row, column = here[0] % padded_height, here[1] % padded_width
                if row >= height or column >= width:
                    continue
                seen = [slot for slot in slots if _lie_together(here, slot, padded)]
                at = [(slot[0] % padded_height, slot[1] % padded_width) for slot in seen]
                keys = torch.stack([key[place] for place in at])  # (S, nH, D)
                values = torch.stack([value[place] for place in at])  # (S, nH, D)
                offsets = [
                    (here[0] - slot[0] + window - 1) * (2 * window - 1)
                    + here[1]
                    - slot[1]
                    + window
                    - 1
                    for slot in seen
                ]
                bias = attention.relative_position_bias_table[offsets]  # (S, nH)
                scale = query.shape[-1] ** -0.5
                logits = (query[row, column] * scale * keys).sum(dim=-1) + bias  # (S, nH)
                weights = logits.softmax(dim=0)[..., None]  # (S, nH, 1)
                output[row, column] = (weights * values).sum(dim=0).flatten()
    return attention.proj(output)


def swin_mlp_block(block: SwinMLPBlock, tokens: Tensor, *, shift: int) -> Tensor:
    """One block of Swin-MLP on `(H, W, C)` tokens."""
    tokens = tokens + window_mlp(block, block.norm1(tokens), shift=shift)
    hidden = block.mlp.activation(block.mlp.fc1(block.norm2(tokens)))
    return tokens + block.mlp.fc2(hidden)


def window_mlp(block: SwinMLPBlock, tokens: Tensor, *, shift: int) -> Tensor:
    """Linear maps over the tokens of `(H, W, C)`, window by window and head by head.

    With a shift the map is padded by zeros, M less the shift above and on the left. The published
    code pads by the shift below and on the right, which makes whole windows of a map that is
    divisible by M; here others are padded up to whole windows.
    """
    num_heads, length = block.spatial_mlp.num_heads, block.spatial_mlp.length
    window = math.isqrt(length)
    weight = block.spatial_mlp.weight.reshape(num_heads, length, length)
    bias = block.spatial_mlp.bias.reshape(num_heads, length, 1)
    height, width, channels = tokens.shape
    before = window - shift if shift else 0
    after = [-(before + side) % window for side in (height, width)]
    padded = F.pad(tokens, (0, 0, before, after[1], before, after[0]))
    output = torch.zeros_like(padded)
    for top in range(0, padded.shape[0], window):
        for left in range(0, padded.shape[1], window):
            area = slice(top, top + window), slice(left, left + window)
            heads = padded[area].reshape(length, channels).chunk(num_heads, dim=1)
            mixed = [w @ head + b for w, head, b in zip(weight, heads, bias, strict=True)]
            output[area] = torch.cat(mixed, dim=1).reshape(window, window, channels)
    return output[before : before + height, before : before + width]


def pad_roll_partition(tokens: Tensor, *, window: int, shift: int) -> Tensor:
    """`(B, H, W, C)` to `(B*nW, L, C)`, zeros in empty slots. Liu et al. 2021, Figures 2 and 4."""
    height, width, channels = tokens.shape[1:]
    padded = F.pad(tokens, (0, 0, 0, -width % window, 0, -height % window))
    rolled = torch.roll(padded, (-shift, -shift), dims=(1, 2))
    cut = rolled.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # (B, nH, M, nW, M, C)
    return cut.transpose(2, 3).reshape(-1, window * window, channels)


def patch_merging(merging: PatchMerging, tokens: Tensor) -> Tensor:
    """`(H, W, C)` to `(ceil(H/2), ceil(W/2), 2C)`, four tokens at a time."""
    height, width, channels = tokens.shape
    rows = []
    for row in range(0, height, 2):
        merged = []
        for column in range(0, width, 2):
            four = []
            for y, x in ((0, 0), (1, 0), (0, 1), (1, 1)):
                inside = row + y < height and column + x < width
                four.append(tokens[row + y, column + x] if inside else torch.zeros(channels))
            merged.append(torch.cat(four))
        rows.append(torch.stack(merged))
    stacked = torch.stack(rows)
    normed = F.layer_norm(
        stacked, stacked.shape[-1:], merging.norm.weight, merging.norm.bias, merging.norm.eps
    )
    return normed @ merging.reduction.weight.T


def panoptic_counts(
    gt: list[list[int]],
    gt_segments: dict[int, tuple[int, int, bool]],
    found: list[list[int]],
    found_labels: dict[int, int],
) -> tuple[dict[int, list[float]], dict[int, int], dict[int, int]]:
    """IoUs of the matches, wrong and missed segments by label (Kirillov et al. 2019, section 4).

    Maps are rows of ids, 0 is void; ground truth segments are (label, area, is_crowd). Each pair of
    segments is looked at pixel by pixel.
    """
    pixels = [pair for rows in zip(gt, found, strict=True) for pair in zip(*rows, strict=True)]
    ious: dict[int, list[float]] = {}
    found_matched, gt_matched = set(), set()
    for found_id, found_label in found_labels.items():
        for gt_id, (label, area, is_crowd) in gt_segments.items():
            if is_crowd or label != found_label:
                continue
            both = sum(pair == (gt_id, found_id) for pair in pixels)
            counted = sum(b == found_id and a != 0 for a, b in pixels)
            union = counted + area - both
            if both and both / union > 0.5:
                ious.setdefault(label, []).append(both / union)
                found_matched.add(found_id)
                gt_matched.add(gt_id)
    wrong: dict[int, int] = {}
    for found_id, label in found_labels.items():
        if found_id in found_matched:
            continue
        crowd = [k for k, (other, _, crowd) in gt_segments.items() if crowd and other == label][-1:]
        below = [a for a, b in pixels if b == found_id]
        if sum(a == 0 or a in crowd for a in below) / len(below) <= 0.5:
            wrong[label] = wrong.get(label, 0) + 1
    missed: dict[int, int] = {}
    for gt_id, (label, _, is_crowd) in gt_segments.items():
        if not is_crowd and gt_id not in gt_matched:
            missed[label] = missed.get(label, 0) + 1
    return ious, wrong, missed


def _lie_together(one: tuple[int, int], other: tuple[int, int], padded: Tensor) -> bool:
    """True if two slots of a window lie on the same side of the map's bottom and right edges."""
    return all(
        (a >= side) == (b >= side) for a, b, side in zip(one, other, padded.shape[:2], strict=True)
    )
