"""Linear mixing of the tokens within (shifted) windows, as Swin-MLP has it in place of attention.

Liu et al. 2021, table 10 (there "Swin-Mixer"), and the released `swin_mlp.py`, which has it as a
1 x 1 convolution of `nH * L` channels in nH groups. No mask: windows are shifted by padding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.windowing.traced_windows import TracedWindows
from swin_dense.windowing.window_plans import WindowGroup


class WindowMLP(nn.Module):
    """One linear map over the L tokens of a window for each head, shared by the head's channels.

    Attributes:
        weight: `(nH*L, L, 1)`, for each head and token that it gives, those that it is made of.
        bias: `(nH*L,)`, for each head and token.
    """

    def __init__(self, *, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.length = window_size**2
        self.weight = nn.Parameter(torch.empty(num_heads * self.length, self.length, 1))
        self.bias = nn.Parameter(torch.empty(num_heads * self.length))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the initial values, as released: normal with deviation 0.02, cut at 2."""
        nn.init.trunc_normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)

    def forward(
        self, tokens: Tensor, groups: tuple[WindowGroup, ...] | tuple[TracedWindows, ...]
    ) -> Tensor:
        """Mix the tokens of each window.

        A slot of a window beyond the map holds a zero token, as in the published code.

        Args:
            tokens: `(T, C)` real tokens in window order; of `TracedWindows` in raster order.
            groups: the windows they stand in.

        Returns:
            `(T, C)` in the same order.
        """
        if isinstance(groups[0], TracedWindows):
            mixed = self._mix_traced(tokens, groups)
        else:
            parts = tokens.split([group.stop - group.start for group in groups])
            mixed = [self._mix_planned(*pair) for pair in zip(parts, groups, strict=True)]
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    def _mix(self, windows: Tensor) -> Tensor:
        """`(n, L, C)` to `(n, L, C)`."""
        weight = self.weight.view(self.num_heads, self.length, self.length)  # (nH, L, L)
        bias = self.bias.view(self.num_heads, self.length).T[..., None]  # (L, nH, 1)
        heads = windows.unflatten(2, (self.num_heads, -1))  # (n, L, nH, D)
        mixed = torch.einsum("hij,njhd->nihd", weight, heads) + bias
        return mixed.flatten(2)  # (n, L, C)

    def _mix_planned(self, tokens: Tensor, group: WindowGroup) -> Tensor:
        """`(T_g, C)` of the group's tokens to the same."""
        windows = tokens  # (n*L, C), where every slot holds a token
        if group.slots is not None:
            windows = tokens.new_zeros(group.num_windows * self.length, tokens.shape[1])
            windows = windows.index_copy(0, group.slots, tokens)
        mixed = self._mix(windows.unflatten(0, (-1, self.length))).flatten(0, 1)  # (n*L, C)
        return mixed if group.slots is None else mixed.index_select(0, group.slots)

    def _mix_traced(self, tokens: Tensor, maps: tuple[TracedWindows, ...]) -> list[Tensor]:
        """`(B_g*N_g, C)` of the maps of each size, in raster order."""
        parts = [tokens]
        if len(maps) > 1:
            parts = list(tokens.split([size.num_images * size.num_tokens for size in maps]))
        mixed = []
        for part, size in zip(parts, maps, strict=True):
            part = part.unflatten(0, (size.num_images, size.num_tokens))
            part = F.pad(part, (0, 0, 0, 1))  # the token of empty slots: (B, N + 1, C)
            windows = part.index_select(1, size.slots)  # (B, nW*L, C)
            num_windows = size.num_images * size.num_windows
            windows = self._mix(windows.reshape(num_windows, self.length, tokens.shape[1]))
            windows = windows.reshape(size.num_images, -1, tokens.shape[1])  # (B, nW*L, C)
            mixed.append(windows.index_select(1, size.places).flatten(0, 1))  # (B*N, C)
        return mixed
