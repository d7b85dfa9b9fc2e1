"""CoLA: is a sentence grammatical? A. Warstadt et al., Neural Network Acceptability Judgments (2018)."""

from components.asking.texts import TextAsking
from components.features import LABEL, LENGTH
from components.metrics.classification import TextClassification
from components.models.bert.classifier import BertClassifier
from components.sources import glue
from components.task import AtLeast, Task
from components.transform.text.wordpiece import WordPiece
from pipelines.tasks.bert_training import FINE_TUNING, FROM_SCRATCH

COLA = Task(
    name="cola",
    summary="Is an English sentence acceptable?",
    source=glue.COLA,
    preprocessing=WordPiece(),
    model=BertClassifier(num_classes=2),
    # For the 8,551 sentences of CoLA, three epochs from 5e-5 are too little (benchmarks/README.md).
    train=FINE_TUNING.model_copy(update={"learning_rate": 1e-4, "num_epochs": 5}),
    train_from_scratch=FROM_SCRATCH,
    evaluation=TextClassification(metrics=("matthews_corrcoef", "accuracy", "confusion_matrix")),
    asking=TextAsking(),
    slices=(LABEL, LENGTH),
    blessing=AtLeast(metric="matthews_corrcoef", threshold=0.25, max_drop=0.02),
)
