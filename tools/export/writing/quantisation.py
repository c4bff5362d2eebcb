"""Linear layers of an ONNX file with weights of 8 bits."""

import logging
from pathlib import Path


def quantise_linear_layers(path: Path, out: Path) -> None:
    """Store the weights of linear layers as int8, a scale a channel.

    Their inputs are quantised when the file runs, by the range that each has then ("dynamic");
    everything else stays as it is.

    Args:
        path: ONNX file.
        out: ONNX file to write; has no metadata.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it advises pre-processing at every call
    quantize_dynamic(
        path,
        out,
        op_types_to_quantize=["MatMul"],  # linear layers; products of two activations stay
        per_channel=True,
        weight_type=QuantType.QInt8,
    )
