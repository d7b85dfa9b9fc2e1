"""What a run keeps low stays right, and is put back."""

from __future__ import annotations

import gc

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, TypeOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms import core, userstate

from pipelines.runs import overhead


class _Plain(beam.DoFn):
    def process(self, element, factor=2):
        yield element * factor


_COUNT = beam.DoFn.StateParam(userstate.CombiningValueStateSpec("count", sum))


class _Counting(beam.DoFn):
    def process(self, element, count=_COUNT):
        count.add(1)
        yield element[0], count.read()


class TestKeptLow:
    def test_a_signature_is_the_same_as_before_and_worked_out_once_a_function(self, monkeypatch):
        before = core.get_function_args_defaults(_Plain().process)
        asked = []
        inspect = core.get_function_args_defaults
        monkeypatch.setattr(
            core, "get_function_args_defaults", lambda method: (asked.append(method), inspect(method))[1]
        )
        with overhead.kept_low():
            answers = [core.get_function_args_defaults(_Plain().process) for _ in range(3)]
        assert answers == [(["element", "factor"], [2])] * 3 == [before] * 3
        assert len(asked) == 1

    def test_a_function_that_is_no_method_is_inspected_as_before(self):
        with overhead.kept_low():
            assert core.get_function_args_defaults(lambda a, b=3: a) == (["a", "b"], [3])

    def test_methods_of_two_classes_of_one_name_are_told_apart(self):
        with overhead.kept_low():
            assert not userstate.is_stateful_dofn(_Plain())
            assert userstate.is_stateful_dofn(_Counting())

    def test_views_of_options_share_what_one_of_them_changes(self):
        with overhead.kept_low():
            options = PipelineOptions(["--direct_num_workers=2"])
            assert options.view_as(DirectOptions).direct_num_workers == 2
            options.view_as(TypeOptions).pipeline_type_check = False
            assert not options.view_as(TypeOptions).pipeline_type_check
            assert options.view_as(TypeOptions) is options.view_as(TypeOptions)

    def test_options_of_two_pipelines_are_told_apart(self):
        with overhead.kept_low():
            first, second = (PipelineOptions([f"--direct_num_workers={n}"]) for n in (2, 3))
            seen = [each.view_as(DirectOptions).direct_num_workers for each in (first, second)]
        assert seen == [2, 3]

    def test_a_stateful_pipeline_counts_as_without(self):
        with overhead.kept_low(), beam.Pipeline(runner="DirectRunner") as pipeline:
            counted = pipeline | beam.Create([("a", 1), ("b", 1), ("a", 1)]) | beam.ParDo(_Counting())
            assert_that(counted, equal_to([("a", 1), ("a", 2), ("b", 1)]))

    def test_all_is_put_back_also_after_an_error(self):
        before = core.get_function_args_defaults, PipelineOptions.view_as, gc.get_threshold()
        try:
            with overhead.kept_low():
                raise RuntimeError
        except RuntimeError:
            pass
        assert (core.get_function_args_defaults, PipelineOptions.view_as, gc.get_threshold()) == before
        assert gc.get_freeze_count() == 0
