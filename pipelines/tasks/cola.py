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
    train=FINE_TUNING,
    train_from_scratch=FROM_SCRATCH,
    evaluation=TextClassification(metrics=("matthews_corrcoef", "accuracy", "confusion_matrix")),
    asking=TextAsking(),
    slices=(LABEL, LENGTH),
    blessing=AtLeast(metric="matthews_corrcoef", threshold=0.25, max_drop=0.02),
)
