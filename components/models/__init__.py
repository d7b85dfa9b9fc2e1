"""Models: settings go in, a Keras model with its loss, its metrics and its served answer comes out.

Read mnist_cnn.py first, the smallest whole model, and classification.py, which it shares with the others;
then the package bert. precision.py has the dtype that a model is built with, errors.py the one error of
all.
"""
