"""MRPC: is a sentence a paraphrase of another? W. Dolan, C. Brockett (2005)."""

from components.asking.texts import TextAsking
from components.features import LABEL, LENGTH, TEXT_A, TEXT_B
from components.metrics.classification import TextClassification
from components.models.bert.classifier import BertClassifier
from components.sources import glue
from components.task import AtLeast, Task
from components.transform.text.wordpiece import WordPiece
from pipelines.tasks.bert_training import FINE_TUNING, FROM_SCRATCH

MRPC = Task(
    name="mrpc",
    summary="Do two sentences say the same?",
    source=glue.MRPC,
    preprocessing=WordPiece(text_features=(TEXT_A, TEXT_B)),
    model=BertClassifier(num_classes=2),
    train=FINE_TUNING,
    train_from_scratch=FROM_SCRATCH,
    evaluation=TextClassification(metrics=("accuracy", "f1", "confusion_matrix")),
    asking=TextAsking(),
    slices=(LABEL, LENGTH),
    blessing=AtLeast(metric="accuracy", threshold=0.75, max_drop=0.02),
)
