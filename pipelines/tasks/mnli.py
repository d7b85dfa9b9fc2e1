"""MultiNLI: entailment, contradiction or neither. A. Williams et al. (2018)."""

from components.asking.texts import TextAsking
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.metrics.classification import TextClassification
from components.models.bert.classifier import BertClassifier
from components.sources import glue
from components.task import AtLeast, Task
from components.transform.text.wordpiece import WordPiece
from pipelines.tasks.bert_training import FINE_TUNING, FROM_SCRATCH

MNLI = Task(
    name="mnli",
    summary="Does a sentence follow from another, or contradict it?",
    source=glue.MNLI,
    preprocessing=WordPiece(text_features=(TEXT_A, TEXT_B)),
    model=BertClassifier(num_classes=3),
    train=FINE_TUNING,
    train_from_scratch=FROM_SCRATCH,
    evaluation=TextClassification(metrics=("accuracy", "confusion_matrix")),
    asking=TextAsking(),
    slices=(glue.DOMAIN, LABEL, LENGTH),
    blessing=AtLeast(metric="accuracy", threshold=0.7, max_drop=0.01),
)
