"""Checkpoints of BERT: files of Google's or Hugging Face's kind go in, an encoder's weights come out.

And the other way round. Read checkpoint.py first, which finds, checks and loads them; names.py, what each
tensor is called in either; safetensors.py, Hugging Face's files; then writers.py, the way back.
"""
