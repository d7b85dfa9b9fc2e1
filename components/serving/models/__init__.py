"""Versions of models: folders of SavedModels go in, loaded ones and what a request runs come out.

Read `model_config` and `sources` for which versions there should be, `manager` for which of them are loaded
and how one replaces another, then `loader`, `servable` and `warmup` for how one is loaded and run, with
`batching_settings`. `inference` turns a request's message into a run and its outputs into the answer, with
`tensors` between messages and arrays.
"""
