"""Asking a trained model: files, texts or rows of a file go in, what the task answers comes out.

Read predict.py first: what a task turns into questions, how a SavedModel in a folder is asked, and how its
answers are read and written for other tools. given.py reads the words of a command line, example.py proposes
some; remote.py asks the same questions of a model server, by gRPC or REST. measured.py says what a model is
measured on.
"""
