"""The side of `question_answering.py` that is `transformers`, in an environment of its own.

`serve FOLDER PORT` answers questions by FastAPI with the question-answering pipeline. `talk FOLDER` reads
lines of JSON, and answers each: {"length", "steps", "batch_size"} with the seconds of a training step,
{"predict"} with what the post-processing of run_squad.py answers, by the questions' ids.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizer, BertTokenizerFast, pipeline
from transformers.data.metrics.squad_metrics import compute_predictions_logits
from transformers.data.processors.squad import (
    SquadResult,
    SquadV2Processor,
    squad_convert_examples_to_features,
)


def load_model(folder: Path) -> BertForQuestionAnswering:
    """Returns the model of an encoder's files and the weights of the layer on it."""
    model = BertForQuestionAnswering(BertConfig.from_pretrained(folder))
    model.bert.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    head = np.load(folder / "head.npz")
    model.qa_outputs.weight.data = torch.tensor(head["kernel"].T.copy())
    model.qa_outputs.bias.data = torch.tensor(head["bias"])
    return model.eval()


def serve(folder: Path, port: int) -> None:
    """Serves until it is ended."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Questions(BaseModel):
        question: list[str]
        context: list[str]

    windows = json.loads((folder / "windows.json").read_text())
    settings = {"max_seq_len": windows["max_sequence_length"], "doc_stride": windows["stride"]}
    answerer = pipeline(
        "question-answering", model=load_model(folder), tokenizer=BertTokenizerFast.from_pretrained(folder)
    )
    app = FastAPI()

    @app.post("/answer")
    def answer(asked: Questions) -> list[dict[str, Any]]:
        found = answerer(
            question=asked.question, context=asked.context, handle_impossible_answer=True,
            batch_size=len(asked.question), **settings,
        )  # fmt: skip
        return found if isinstance(found, list) else [found]

    uvicorn.run(app, port=port, log_level="warning")


def talk(folder: Path) -> None:
    """Answers until its input ends."""
    model = load_model(folder)
    windows = json.loads((folder / "windows.json").read_text())
    train = make_training(load_model(folder))
    for line in sys.stdin:
        asked = json.loads(line)
        answer = predict(model, folder, asked["predict"], windows) if "predict" in asked else train(**asked)
        print(json.dumps(answer), file=sys.__stdout__, flush=True)


def predict(
    model: BertForQuestionAnswering, folder: Path, file: str, windows: dict[str, Any]
) -> dict[str, str]:
    """Returns the answers to a file of version 2.0, by the questions' ids."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    examples = SquadV2Processor().get_dev_examples(str(Path(file).parent), Path(file).name)
    features = squad_convert_examples_to_features(
        examples, tokenizer, windows["max_sequence_length"], windows["stride"],
        windows["max_question_length"], is_training=False, tqdm_enabled=False,
    )  # fmt: skip
    results = [SquadResult(feature.unique_id, *logits_of(model, feature)) for feature in features]
    return compute_predictions_logits(
        examples, features, results, windows["n_best_size"], windows["max_answer_length"], True, None, None,
        None, False, True, 0.0, tokenizer,
    )  # fmt: skip


def logits_of(model: BertForQuestionAnswering, feature: Any) -> tuple[list[float], list[float]]:
    inputs = {name: torch.tensor([getattr(feature, name)]) for name in
              ("input_ids", "token_type_ids", "attention_mask")}  # fmt: skip
    with torch.no_grad():
        found = model(**inputs)
    return found.start_logits[0].tolist(), found.end_logits[0].tolist()


def make_training(model: BertForQuestionAnswering) -> Any:
    """Returns a function that takes training steps, and returns the seconds of one."""
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-5, eps=1e-6, fused=True)

    def train(length: int, steps: int, batch_size: int) -> float:
        model.train()
        ids = np.random.default_rng(length).integers(model.config.vocab_size, size=(batch_size, length))
        positions = torch.arange(batch_size) + 1
        batch = {
            "input_ids": torch.tensor(ids), "token_type_ids": torch.zeros(ids.shape, dtype=torch.int64),
            "attention_mask": torch.ones(ids.shape, dtype=torch.int64),
            "start_positions": positions, "end_positions": positions,
        }  # fmt: skip
        start = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return (time.perf_counter() - start) / steps

    return train


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        # What libraries print is not to be taken for an answer.
        sys.stdout = sys.stderr
        talk(Path(sys.argv[2]))
