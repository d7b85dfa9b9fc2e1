"""BERT's pretraining: masked words and next sentences of plain text. J. Devlin et al. (2018)."""

from components.asking.masked_words import FillMask
from components.features import FILE
from components.metrics.masked_lm import MaskedLmEvaluation
from components.models.bert.pretraining import BertPretraining
from components.sources.corpus import CorpusSource
from components.task import AtLeast, Task
from components.transform.text.sentences import Sentences
from components.windows.masking import Masking
from pipelines.tasks.bert_training import FINE_TUNING

# From a checkpoint on, as other texts from theirs.
_TRAINING = FINE_TUNING.model_copy(update={"num_epochs": 10})

PRETRAINING = Task(
    name="pretraining",
    summary="Which words are missing in a text, and which text follows another?",
    source=CorpusSource(),
    preprocessing=Sentences(),
    windowing=Masking(),
    # Short ones, and a high rate: on a little text, a small model first has to find out that words depend on
    # one another.
    windowing_from_scratch=Masking(max_sequence_length=64),
    model=BertPretraining(),
    train=_TRAINING,
    train_from_scratch=_TRAINING.model_copy(update={"learning_rate": 2e-3, "num_epochs": 16}),
    evaluation=MaskedLmEvaluation(),
    asking=FillMask(),
    slices=(FILE,),
    # Three times what it takes to say the most frequent token at each mask.
    blessing=AtLeast(metric="masked_lm_accuracy", threshold=0.3, max_drop=0.02),
)
