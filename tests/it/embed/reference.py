"""What Python makes of texts: reference.py embed|rerank FOLDER FILE reads texts, or pairs of them, as JSON
from standard input and writes their vectors or scores. Written without a look at fastembed: the
tokenizer of Hugging Face, ONNX Runtime, and the mean by numpy.
"""

import json
import os
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main():
    way, folder, file = sys.argv[1:4]
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        os.path.join(folder, file), options, providers=["CPUExecutionProvider"]
    )
    wanted = {node.name for node in session.get_inputs()}

    def run(encoding):
        values = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        fed = {name: np.array([value], np.int64) for name, value in values.items() if name in wanted}
        return session.run(None, fed)[0][0]

    made = []
    for text in json.load(sys.stdin):
        if way == "rerank":
            made.append(float(run(tokenizer.encode(*text))[0]))
        else:
            # One by one there is no padding to mask.
            vector = run(tokenizer.encode(text)).mean(axis=0)
            made.append((vector / np.linalg.norm(vector)).tolist())
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
