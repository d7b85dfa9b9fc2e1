"""Bytes of files to arrays, rows and tokens, and back, a module a format.

NumPy and nibabel are all that it imports: no TensorFlow, no Beam. What is not as a format demands is a
FormatError (`errors`) of one line. `idx` shows how a module reads in pieces and checks a header before it
<<<<<<< HEAD
takes memory; `tsv` cuts a file into parts of whole lines; `vocabulary` is the file that a tokenizer needs.
=======
takes memory; `tsv` cuts a file into parts of whole lines; `vocabulary` is the file that a tokenizer is
made of.
>>>>>>> sources
"""
