import json

import pytest

from components.config import ConfigError
from components.evaluator.settings import EvaluationSettings
from components.features import LABEL
from components.models.mnist_cnn import MnistCnn
from components.protocols import Preprocessing
from components.reference import Reference
from components.sources.idx import IdxSource
from components.task import AtLeast, Task
from components.train_config import TrainConfig
from components.transform.images import ImageScaling


class NotConfigured:
    preprocessing_fn = requests = render = fitted_to = None


def task(**changes) -> Task:
    values = {
        "name": "shapes",
        "summary": "Shapes",
        "source": IdxSource(image_shape=(2, 2), num_classes=3),
        "preprocessing": ImageScaling(image_shape=(2, 2)),
        "model": MnistCnn(num_classes=3),
        "train": TrainConfig(),
        "metrics": ("accuracy", "confusion_matrix"),
        "slices": (LABEL,),
        "blessing": AtLeast(metric="accuracy", threshold=0.9),
    }
    return Task(**{**values, **changes})


def test_settings_are_the_pieces_of_a_task_and_survive_as_text():
    settings = EvaluationSettings.of(task())
    assert (settings.label, settings.num_classes, settings.example_split) == (LABEL, 3, "eval")
    assert EvaluationSettings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.preprocessing.load(Preprocessing) == ImageScaling(image_shape=(2, 2))


def test_an_unknown_metric_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match="unknown metric 'accurcy'"):
        EvaluationSettings.of(task(metrics=("accuracy", "accurcy")))


def test_a_preprocessing_without_settings_is_refused():
    with pytest.raises(ConfigError, match=r"NotConfigured: expected a subclass of components.config.Config"):
        Reference.to(NotConfigured())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("components.transform.images.Missing", "cannot be imported"),
        ("nowhere.Missing", "cannot be imported"),
        ("Missing", "cannot be imported"),
        ("os.system", "expected a preprocessing"),
        ("components.models.mnist_cnn.MnistCnn", "expected a preprocessing"),
    ],
)
def test_a_name_that_is_no_preprocessing_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        Reference(class_name=name, settings={}).load(Preprocessing)


def test_the_component_has_the_channels_of_tfx_and_plain_properties():
    from tfx.components import Evaluator as TfxEvaluator
    from tfx.types import Channel, standard_artifacts

    from components.evaluator.component import evaluator

    examples, model = Channel(standard_artifacts.Examples), Channel(standard_artifacts.Model)
    made = evaluator(task(), examples=examples, model=model, baseline_model=Channel(standard_artifacts.Model))
    theirs = TfxEvaluator.SPEC_CLASS
    assert made.id == "Evaluator"
    assert set(made.spec.INPUTS) == set(theirs.INPUTS)
    assert set(made.outputs) == set(theirs.OUTPUTS) == {"evaluation", "blessing"}
    assert json.loads(made.exec_properties["settings"])["task"] == "shapes"
    assert made.executor_spec.class_path == "components.evaluator.executor.Executor"


def test_without_a_blessed_model_there_is_no_baseline_channel():
    from tfx.types import Channel, standard_artifacts

    from components.evaluator.component import evaluator

    examples, model = Channel(standard_artifacts.Examples), Channel(standard_artifacts.Model)
    assert set(evaluator(task(), examples, model).inputs) == {"examples", "model"}
