"""Handwritten digits from the four idx files of MNIST."""

from components.asking.images import ImageAsking
from components.features import LABEL
from components.metrics.classification import ImageClassification
from components.models.mnist_cnn import MnistCnn
from components.sources.idx import IdxSource
from components.task import AtLeast, Task
from components.train_config import TrainConfig
from components.transform.images import ImageScaling

MNIST = Task(
    name="mnist",
    summary="Handwritten digits, 28×28 grey-scale images",
    source=IdxSource(),
    preprocessing=ImageScaling(),
    model=MnistCnn(),
    train=TrainConfig(global_batch_size=100, learning_rate=1e-4, num_epochs=40),
    evaluation=ImageClassification(
        metrics=("accuracy", "precision_by_class", "recall_by_class", "confusion_matrix")
    ),
    asking=ImageAsking(),
    slices=(LABEL,),
    blessing=AtLeast(metric="accuracy", threshold=0.97, max_drop=0.005),
)
