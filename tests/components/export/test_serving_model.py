import pytest
import tensorflow as tf

from components.export.serving_model import check_batch


@tf.function
def count(question: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
    check_batch({"question": question, "context": context})
    return tf.size(question)


def test_inputs_of_a_request_have_to_be_equally_many() -> None:
    any_number = tf.TensorSpec([None], tf.string)
    served = count.get_concrete_function(any_number, any_number)
    assert served(tf.constant(["Who?", "Why?"]), tf.constant(["a", "b"])).numpy() == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="context: expected as many as question"):
        served(tf.constant(["Who?", "Why?"]), tf.constant(["a"]))
