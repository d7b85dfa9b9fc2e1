"""What is kept of one answer."""

from __future__ import annotations

import hashlib

import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.answered import answered, key_of
from components.evaluator.judging import CANDIDATE, JUDGEMENTS, Judgement


def test_an_answer_is_known_by_its_example() -> None:
    assert key_of(b"a") == hashlib.blake2b(b"a", digest_size=8).hexdigest()
    assert len(key_of(b"a")) == 16


def test_an_answer_that_is_no_number_has_no_badness() -> None:
    for finite, expected in ((True, 0.25), (False, None)):
        judged = Judgement(np.zeros(2), 0.25 if finite else 0.0, finite)
        extracts = {tfma.constants.INPUT_KEY: np.array([b"a"], object), JUDGEMENTS: {CANDIDATE: judged}}
        assert answered(extracts) == (key_of(b"a"), expected)
