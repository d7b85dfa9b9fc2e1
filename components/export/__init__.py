"""Trained weights and the transform graph in, a SavedModel out that takes raw requests.

Read `serving_model`, the function that is served, then `calibration`, by which examples choose a value for
it, such as a threshold, and `saved_model`, which writes it with warm-up requests and the answers they should
get. `origin` says what a model was made of.
"""
