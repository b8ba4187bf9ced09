"""The MiniLM encoder as an ONNX graph, written from its weights without torch.

BERT (arXiv:1810.04805) with 6 layers of width 384 and 12 heads, then the pooling of
sentence-transformers: the mean of the token vectors under the attention mask, scaled to length 1.
The layers are ONNX Runtime's fused operators (domain com.microsoft), which are what its quantiser
and CPU kernels know.

Inputs: input_ids and attention_mask, int64, shape (texts, tokens).
Output: embedding, float32, shape (texts, 384).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from memorybank.model.weights import Tensors

DIMENSIONS = 384
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12
"""`layer_norm_eps` of the published configuration."""

_STANDARD_OPSET = 17
_IR_VERSION = 9
_FUSED = "com.microsoft"


class _Graph:
    """Collects nodes and constants; every method returns the name of the value it made."""

    def __init__(self, tensors: Tensors) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._tensors = tensors

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._tensors[name])

    def matrix(self, name: str) -> str:
        """Published matrices are (out, in) as torch keeps them; MatMul wants (in, out)."""
        return self.constant(name, self._tensors[name].T)

    def stacked(self, name: str, parts: Sequence[str]) -> str:
        """Return several weights side by side as one constant, matrices turned as above."""
        return self.constant(
            name, np.concatenate([self._tensors[part].T for part in parts], axis=-1)
        )

    def apply(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        outputs = [output, f"{output}_mask"] if operator.startswith("EmbedLayer") else [output]
        self.nodes.append(
            helper.make_node(operator, list(inputs), outputs, domain=domain, **attributes)
        )
        return output


def build_graph(tensors: Tensors) -> onnx.ModelProto:
    """Return the float32 model."""
    graph = _Graph(tensors)
    mask = graph.apply("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    tokens = _embed_tokens(graph, tensors)
    for number in range(_LAYERS):
        tokens = _encode(graph, number, tokens, mask=mask)
    _pool(graph, tokens)
    batch = ["texts", "tokens"]
    built = helper.make_graph(
        graph.nodes,
        "all-MiniLM-L6-v2",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, batch)
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", DIMENSIONS])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", _STANDARD_OPSET), helper.make_opsetid(_FUSED, 1)]
    model = helper.make_model(built, opset_imports=opsets, ir_version=_IR_VERSION)
    # Tells the quantiser that the operators are fused already; it would warn otherwise.
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return model


def _embed_tokens(graph: _Graph, tensors: Tensors) -> str:
    """Word plus position, normalised.

    Every token is of segment 0, so the vector of that segment is part of the positions.
    """
    ids = graph.apply("Cast", ["input_ids"], "ids", to=TensorProto.INT32)
    positions = (
        tensors["embeddings.position_embeddings.weight"]
        + tensors["embeddings.token_type_embeddings.weight"][0]
    )
    inputs = [
        ids,
        "",
        graph.weight("embeddings.word_embeddings.weight"),
        graph.constant("positions", positions),
        "",
        graph.weight("embeddings.LayerNorm.weight"),
        graph.weight("embeddings.LayerNorm.bias"),
    ]
    return graph.apply("EmbedLayerNormalization", inputs, "embedded", _FUSED, epsilon=_EPSILON)


def _encode(graph: _Graph, number: int, tokens: str, *, mask: str) -> str:
    """One layer: attention, then the feed-forward part, each added to its input and normalised."""
    layer = f"encoder.layer.{number}"
    attention = f"{layer}.attention"
    heads = [f"{attention}.self.{part}" for part in ("query", "key", "value")]
    attended = graph.apply(
        "Attention",
        [
            tokens,
            graph.stacked(f"{attention}.qkv.weight", [f"{head}.weight" for head in heads]),
            graph.stacked(f"{attention}.qkv.bias", [f"{head}.bias" for head in heads]),
            mask,
        ],
        f"{attention}.heads",
        _FUSED,
        num_heads=_HEADS,
    )
    tokens = _add_and_normalise(graph, f"{attention}.output", attended, residual=tokens)
    inner = f"{layer}.intermediate.dense"
    widened = graph.apply("MatMul", [tokens, graph.matrix(f"{inner}.weight")], f"{inner}.product")
    activated = graph.apply(
        "BiasGelu", [widened, graph.weight(f"{inner}.bias")], f"{inner}.gelu", _FUSED
    )
    return _add_and_normalise(graph, f"{layer}.output", activated, residual=tokens)


def _add_and_normalise(graph: _Graph, name: str, value: str, *, residual: str) -> str:
    product = graph.apply(
        "MatMul", [value, graph.matrix(f"{name}.dense.weight")], f"{name}.product"
    )
    inputs = [
        product,
        residual,
        graph.weight(f"{name}.LayerNorm.weight"),
        graph.weight(f"{name}.LayerNorm.bias"),
        graph.weight(f"{name}.dense.bias"),
    ]
    return graph.apply("SkipLayerNormalization", inputs, name, _FUSED, epsilon=_EPSILON)


def _pool(graph: _Graph, tokens: str) -> None:
    """Mean over the tokens that the mask keeps, then length 1."""
    texts_axis = graph.constant("axis_1", np.array([1], dtype=np.int64))
    last_axis = graph.constant("axis_2", np.array([2], dtype=np.int64))
    weights = graph.apply("Cast", ["attention_mask"], "weights", to=TensorProto.FLOAT)
    columns = graph.apply("Unsqueeze", [weights, last_axis], "weight_columns")
    masked = graph.apply("Mul", [tokens, columns], "masked")
    total = graph.apply("ReduceSum", [masked, texts_axis], "total", keepdims=0)
    count = graph.apply("ReduceSum", [weights, texts_axis], "count", keepdims=1)
    mean = graph.apply("Div", [total, count], "mean")
    length = graph.apply("ReduceL2", [mean], "length", axes=[-1], keepdims=1)
    graph.apply("Div", [mean, length], "embedding")
