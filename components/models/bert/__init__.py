"""BERT: token ids, segment ids and a padding mask go in, a vector for each token and for the text comes out.

Read config.py first, the shape of an encoder; layers.py and encoder.py, which build it; then classifier.py,
which puts a task's classes on it and is what a task names; regressor.py has one number in their place. The
package weights loads and writes checkpoints.
"""
