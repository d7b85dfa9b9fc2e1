"""Bytes of files to arrays, rows and tokens, and back, a module a format.

Nothing but NumPy, nibabel and parsers of JSON is imported: no TensorFlow, no Beam. What is not as a format
demands is a FormatError (`errors`) of one line. `idx` shows how a module reads in pieces and checks a header
before it takes memory; `tsv` cuts a file into parts of whole lines; `tables` reads people's own, with names
of columns; `squad` reads JSON an article at a time and says where answers are; `vocabulary` is the file that
a tokenizer is made of.
"""
