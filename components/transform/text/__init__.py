"""Texts to BERT's inputs: strings in, token ids, segment ids and a padding mask out.

To be read from the outside in: `wordpiece` has the whole way of texts and pairs, `questions` and `sentences`
that of what is cut into windows afterwards, and `settings` what all have in common, the vocabulary.
`tokenization` divides texts into the ids of pieces, plain ASCII fast and all else by the words of
`basic_tokenization`, and `segments` cuts ids off and puts [CLS] and [SEP] around them. `offsets` knows where
in its text each piece is. `vocabulary` learns a vocabulary and writes it down; `vocabulary_analyzer` has
tf.Transform do that over the training split.
"""
