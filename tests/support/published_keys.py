"""Keys and shapes of published files, written down apart from the tables that read them.

Each function says what a framework's own code registers, in its own words. That they are right is
checked against the key lists of real files where there are some (`golden/*/keys.json`), and against
the libraries themselves where they are installed.
"""

from swin_dense.configs import ShiftedWindowConfig, SwinConfig, SwinMLPConfig

Shapes = dict[str, tuple[int, ...]]


def _affine(name: str, *weight: int) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _block(config: SwinConfig, stage: int, names: dict[str, str], *, flat: bool = False) -> Shapes:
    """One block; `names` are norm1, qkv, proj, table, index, norm2, fc1 and fc2."""
    channels, window = config.stage_channels[stage], config.window_size
    hidden = int(channels * config.mlp_ratio)
    shapes = {
        **_affine(names["norm1"], channels),
        names["table"]: ((2 * window - 1) ** 2, config.num_heads[stage]),
        **_affine(names["proj"], channels, channels),
        **_affine(names["norm2"], channels),
        **_affine(names["fc1"], hidden, channels),
        **_affine(names["fc2"], channels, hidden),
    }
    if "index" in names:
        shapes[names["index"]] = (window**4,) if flat else (window**2, window**2)
    if "qkv" in names:
        shapes |= _affine(names["qkv"], 3 * channels, channels)
    else:
        for part in ("query", "key", "value"):
            shapes |= _affine(names[part], channels, channels)
    return shapes


def _merging(config: ShiftedWindowConfig, stage: int, name: str) -> Shapes:
    channels = config.stage_channels[stage]
    return {
        **_affine(f"{name}.norm", 4 * channels),
        f"{name}.reduction.weight": (2 * channels, 4 * channels),
    }


def microsoft(config: SwinConfig, *, num_classes: int | None = None) -> Shapes:
    """Microsoft's backbone; with the final norm and head in classification, else output norms."""
    side, channels = config.patch_size, config.stage_channels
    shapes = {
        **_affine("patch_embed.proj", config.embed_dim, 3, side, side),
        **_affine("patch_embed.norm", config.embed_dim),
    }
    for i, depth in enumerate(config.depths):
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            names = {name: f"{block}.{name}" for name in ("norm1", "norm2")}
            names |= {name: f"{block}.attn.{name}" for name in ("qkv", "proj")}
            names |= {name: f"{block}.mlp.{name}" for name in ("fc1", "fc2")}
            names["table"] = f"{block}.attn.relative_position_bias_table"
            names["index"] = f"{block}.attn.relative_position_index"
            shapes |= _block(config, i, names)
        if i < len(config.depths) - 1:
            shapes |= _merging(config, i, f"layers.{i}.downsample")
        if num_classes is None:
            shapes |= _affine(f"norm{i}", channels[i])
    if num_classes is not None:
        shapes |= _affine("norm", channels[-1]) | _affine("head", num_classes, channels[-1])
    return shapes


def microsoft_mlp(config: SwinMLPConfig, *, num_classes: int) -> Shapes:
    """Microsoft's SwinMLP: a convolution over the tokens of all heads in place of attention."""
    channels, length = config.stage_channels, config.window_size**2
    shapes = {
        **_affine("patch_embed.proj", config.embed_dim, 3, config.patch_size, config.patch_size),
        **_affine("patch_embed.norm", config.embed_dim),
        **_affine("norm", channels[-1]),
        **_affine("head", num_classes, channels[-1]),
    }
    for i, depth in enumerate(config.depths):
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            hidden = 4 * channels[i]
            shapes |= {
                **_affine(f"{block}.norm1", channels[i]),
                **_affine(f"{block}.spatial_mlp", config.num_heads[i] * length, length, 1),
                **_affine(f"{block}.norm2", channels[i]),
                **_affine(f"{block}.mlp.fc1", hidden, channels[i]),
                **_affine(f"{block}.mlp.fc2", channels[i], hidden),
            }
        if i < len(config.depths) - 1:
            shapes |= _merging(config, i, f"layers.{i}.downsample")
    return shapes


def timm(config: SwinConfig, *, num_classes: int) -> Shapes:
    """timm: no buffers, patch merging in front of a stage, `head.fc`."""
    shapes = {}
    for key, shape in microsoft(config, num_classes=num_classes).items():
        if "relative_position_index" in key:
            continue
        if ".downsample." in key:
            stage = int(key.split(".")[1])
            key = key.replace(f"layers.{stage}.", f"layers.{stage + 1}.")
        shapes[key.replace("head.", "head.fc.")] = shape
    return shapes


def mm(config: SwinConfig) -> Shapes:
    """OpenMMLab's own backbone, with output norms."""
    side = config.patch_size
    shapes = {
        **_affine("patch_embed.projection", config.embed_dim, 3, side, side),
        **_affine("patch_embed.norm", config.embed_dim),
    }
    for i, depth in enumerate(config.depths):
        for j in range(depth):
            block = f"stages.{i}.blocks.{j}"
            names = {
                "norm1": f"{block}.norm1",
                "qkv": f"{block}.attn.w_msa.qkv",
                "proj": f"{block}.attn.w_msa.proj",
                "table": f"{block}.attn.w_msa.relative_position_bias_table",
                "index": f"{block}.attn.w_msa.relative_position_index",
                "norm2": f"{block}.norm2",
                "fc1": f"{block}.ffn.layers.0.0",
                "fc2": f"{block}.ffn.layers.1",
            }
            shapes |= _block(config, i, names)
        if i < len(config.depths) - 1:
            shapes |= _merging(config, i, f"stages.{i}.downsample")
        shapes |= _affine(f"norm{i}", config.stage_channels[i])
    return shapes


def torchvision(config: SwinConfig, *, num_classes: int) -> Shapes:
    """torchvision: one list of stem, stages and mergings; flat index buffers."""
    side, last = config.patch_size, config.stage_channels[-1]
    shapes = {
        **_affine("features.0.0", config.embed_dim, 3, side, side),
        **_affine("features.0.2", config.embed_dim),
        **_affine("norm", last),
        **_affine("head", num_classes, last),
    }
    for i, depth in enumerate(config.depths):
        for j in range(depth):
            block = f"features.{2 * i + 1}.{j}"
            names = {
                "norm1": f"{block}.norm1",
                "qkv": f"{block}.attn.qkv",
                "proj": f"{block}.attn.proj",
                "table": f"{block}.attn.relative_position_bias_table",
                "index": f"{block}.attn.relative_position_index",
                "norm2": f"{block}.norm2",
                "fc1": f"{block}.mlp.0",
                "fc2": f"{block}.mlp.3",
            }
            shapes |= _block(config, i, names, flat=True)
        if i < len(config.depths) - 1:
            shapes |= _merging(config, i, f"features.{2 * i + 2}")
    return shapes


def transformers_v4(config: SwinConfig, *, num_classes: int | None = None) -> Shapes:
    """transformers 4: a classifier, or the backbone of UPerNet."""
    side, channels = config.patch_size, config.stage_channels
    swin = "" if num_classes is None else "swin."
    shapes = {
        **_affine(f"{swin}embeddings.patch_embeddings.projection", channels[0], 3, side, side),
        **_affine(f"{swin}embeddings.norm", channels[0]),
    }
    for i, depth in enumerate(config.depths):
        for j in range(depth):
            block = f"{swin}encoder.layers.{i}.blocks.{j}"
            names = {part: f"{block}.attention.self.{part}" for part in ("query", "key", "value")}
            names |= {
                "norm1": f"{block}.layernorm_before",
                "proj": f"{block}.attention.output.dense",
                "table": f"{block}.attention.self.relative_position_bias_table",
                "index": f"{block}.attention.self.relative_position_index",
                "norm2": f"{block}.layernorm_after",
                "fc1": f"{block}.intermediate.dense",
                "fc2": f"{block}.output.dense",
            }
            shapes |= _block(config, i, names)
        if i < len(config.depths) - 1:
            shapes |= _merging(config, i, f"{swin}encoder.layers.{i}.downsample")
        if num_classes is None:
            shapes |= _affine(f"hidden_states_norms.stage{i + 1}", channels[i])
    if num_classes is not None:
        shapes |= _affine("swin.layernorm", channels[-1])
        shapes |= _affine("classifier", num_classes, channels[-1])
    return shapes


def under(prefix: str, shapes: Shapes) -> Shapes:
    """The same with a prefix."""
    return {f"{prefix}{key}": shape for key, shape in shapes.items()}


def _norm(name: str, channels: int) -> Shapes:
    return {
        **_affine(name, channels),
        f"{name}.running_mean": (channels,),
        f"{name}.running_var": (channels,),
        f"{name}.num_batches_tracked": (),
    }


def mask_rcnn(config: SwinConfig, *, num_classes: int, fpn: int = 256, fc: int = 1024) -> Shapes:
    """The heads of Mask R-CNN as OpenMMLab's code names them."""
    shapes = _pyramid(config, fpn)
    box = "roi_head.bbox_head"
    shapes |= _affine(f"{box}.shared_fcs.0", fc, fpn * 49) | _affine(f"{box}.shared_fcs.1", fc, fc)
    shapes |= _affine(f"{box}.fc_cls", num_classes + 1, fc)
    shapes |= _affine(f"{box}.fc_reg", 4 * num_classes, fc)
    return shapes | _mask_head("roi_head.mask_head", num_classes, fpn)


def cascade(config: SwinConfig, *, num_classes: int, fpn: int = 256, fc: int = 1024) -> Shapes:
    """The heads of Cascade Mask R-CNN with 4 convolutions and 1 linear layer."""
    shapes = _pyramid(config, fpn)
    for stage in range(3):
        box = f"roi_head.bbox_head.{stage}"
        for k in range(4):
            shapes[f"{box}.shared_convs.{k}.conv.weight"] = (fpn, fpn, 3, 3)
            shapes |= _norm(f"{box}.shared_convs.{k}.bn", fpn)
        shapes |= _affine(f"{box}.shared_fcs.0", fc, fpn * 49)
        shapes |= _affine(f"{box}.fc_cls", num_classes + 1, fc)
        shapes |= _affine(f"{box}.fc_reg", 4 * num_classes, fc)
        shapes |= _mask_head(f"roi_head.mask_head.{stage}", num_classes, fpn)
    return shapes


def upernet(
    config: SwinConfig, *, num_classes: int, channels: int = 512, auxiliary: int = 256
) -> Shapes:
    """Both heads of UPerNet as mmsegmentation names them."""
    widths, head = config.stage_channels, "decode_head"
    shapes: Shapes = {}

    def add(name: str, inner: int, outer: int, side: int) -> None:
        shapes[f"{name}.conv.weight"] = (outer, inner, side, side)
        shapes.update(_norm(f"{name}.bn", outer))

    for k in range(4):
        add(f"{head}.psp_modules.{k}.1", widths[-1], channels, 1)
    add(f"{head}.bottleneck", widths[-1] + 4 * channels, channels, 3)
    for k in range(3):
        add(f"{head}.lateral_convs.{k}", widths[k], channels, 1)
        add(f"{head}.fpn_convs.{k}", channels, channels, 3)
    add(f"{head}.fpn_bottleneck", 4 * channels, channels, 3)
    shapes |= _affine(f"{head}.conv_seg", num_classes, channels, 1, 1)
    add("auxiliary_head.convs.0", widths[2], auxiliary, 3)
    return shapes | _affine("auxiliary_head.conv_seg", num_classes, auxiliary, 1, 1)


def _pyramid(config: SwinConfig, fpn: int) -> Shapes:
    shapes: Shapes = {}
    for k, channels in enumerate(config.stage_channels):
        shapes |= _affine(f"neck.lateral_convs.{k}.conv", fpn, channels, 1, 1)
        shapes |= _affine(f"neck.fpn_convs.{k}.conv", fpn, fpn, 3, 3)
    shapes |= _affine("rpn_head.rpn_conv", fpn, fpn, 3, 3)
    return (
        shapes
        | _affine("rpn_head.rpn_cls", 3, fpn, 1, 1)
        | _affine("rpn_head.rpn_reg", 12, fpn, 1, 1)
    )


def _mask_head(name: str, num_classes: int, fpn: int) -> Shapes:
    shapes: Shapes = {}
    for k in range(4):
        shapes |= _affine(f"{name}.convs.{k}.conv", fpn, fpn, 3, 3)
    shapes |= {f"{name}.upsample.weight": (fpn, fpn, 2, 2), f"{name}.upsample.bias": (fpn,)}
    return shapes | _affine(f"{name}.conv_logits", num_classes, fpn, 1, 1)


def mask2former(config: SwinConfig, *, num_classes: int, num_queries: int) -> Shapes:
    """Meta's heads, as a published pickle holds them."""
    pixels, queries = "sem_seg_head.pixel_decoder", "sem_seg_head.predictor"
    channels = config.stage_channels
    shapes = {
        "criterion.empty_weight": (num_classes + 1,),
        f"{pixels}.transformer.level_embed": (3, 256),
        f"{pixels}.adapter_1.weight": (256, channels[0], 1, 1),
        **_affine(f"{pixels}.adapter_1.norm", 256),
        f"{pixels}.layer_1.weight": (256, 256, 3, 3),
        **_affine(f"{pixels}.layer_1.norm", 256),
        **_affine(f"{pixels}.mask_features", 256, 256, 1, 1),
        f"{queries}.static_query.weight": (num_queries, 256),
        f"{queries}.query_embed.weight": (num_queries, 256),
        f"{queries}.level_embed.weight": (3, 256),
        **_affine(f"{queries}.decoder_norm", 256),
        **_affine(f"{queries}.class_embed", num_classes + 1, 256),
    }
    for i in range(3):
        shapes |= _affine(f"{pixels}.input_proj.{i}.0", 256, channels[3 - i], 1, 1)
        shapes |= _affine(f"{pixels}.input_proj.{i}.1", 256)
        shapes |= _affine(f"{queries}.mask_embed.layers.{i}", 256, 256)
    for i in range(6):
        layer = f"{pixels}.transformer.encoder.layers.{i}"
        for name, rows in (("sampling_offsets", 192), ("attention_weights", 96)):
            shapes |= _affine(f"{layer}.self_attn.{name}", rows, 256)
        for name in ("value_proj", "output_proj"):
            shapes |= _affine(f"{layer}.self_attn.{name}", 256, 256)
        shapes |= _affine(f"{layer}.linear1", 1024, 256) | _affine(f"{layer}.linear2", 256, 1024)
        shapes |= _affine(f"{layer}.norm1", 256) | _affine(f"{layer}.norm2", 256)
    for i in range(9):
        for kind, attention in (("cross", "multihead_attn"), ("self", "self_attn")):
            layer = f"{queries}.transformer_{kind}_attention_layers.{i}"
            shapes |= {
                f"{layer}.{attention}.in_proj_weight": (768, 256),
                f"{layer}.{attention}.in_proj_bias": (768,),
                **_affine(f"{layer}.{attention}.out_proj", 256, 256),
                **_affine(f"{layer}.norm", 256),
            }
        layer = f"{queries}.transformer_ffn_layers.{i}"
        shapes |= _affine(f"{layer}.linear1", 2048, 256) | _affine(f"{layer}.linear2", 256, 2048)
        shapes |= _affine(f"{layer}.norm", 256)
    return shapes
