"""Asking a trained model: files, texts or rows of a file go in, a class with its probability comes out.

Read predict.py first: what a task turns into questions, how a SavedModel in a folder is asked, and how its
answers are read. remote.py asks the same questions of a model server, by gRPC or REST.
"""
