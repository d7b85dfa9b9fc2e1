"""What a person asks a task's model, and what comes back: files or texts in, a Reply a row out.

Read `classes` first, the replies of every classifier, then `images` and `texts`, which make the questions;
`scores` is `texts` with numbers in place of classes; `questions` and `masked_words` have both of their own;
`typed` is what all have in common that take texts.
"""
