"""SQuAD: which part of a text answers a question? P. Rajpurkar et al. (2016, and 2018 for version 2.0)."""

from components.asking.questions import QuestionAsking
from components.features import LENGTH, QUESTION_WORD, TITLE
from components.metrics.spans import SpanEvaluation
from components.models.bert.spans import BertSpans
from components.sources.squad import SquadSource
from components.task import AtLeast, Task
from components.transform.text.questions import Questions
from components.windows.spans import Spans
from pipelines.tasks.bert_training import FINE_TUNING

SQUAD = Task(
    name="squad",
    summary="Which part of a text answers a question?",
    source=SquadSource(),
    preprocessing=Questions(),
    windowing=Spans(),
    windowing_from_scratch=Spans(max_sequence_length=128, stride=64),
    model=BertSpans(),
    train=FINE_TUNING.model_copy(update={"global_batch_size": 8, "eval_global_batch_size": 16}),
    train_from_scratch=FINE_TUNING.model_copy(
        update={"global_batch_size": 16, "learning_rate": 1e-3, "num_epochs": 4}
    ),
    evaluation=SpanEvaluation(),
    asking=QuestionAsking(),
    slices=(LENGTH, QUESTION_WORD, TITLE),
    # More than never to answer reaches: half of the dev questions of version 2.0 have no answer.
    blessing=AtLeast(metric="f1", threshold=0.6, max_drop=0.02),
)
