"""Examples of any size to model inputs of one size, and the outputs back to one answer an example.

A batch of transformed features goes in, made dense by `padding.py` (lengths that vary are filled up with
0). A task whose examples do not fit the model as they are has a `Windowing` (components/protocols.py): it
says where the windows of an example are (`places`; for training `drawn`), cuts them out (`take`: inputs
and targets of equal shapes; `served`: inputs alone, without filling), and folds the model's outputs into
one answer (`start`, `add`, `answers`),
so that training, evaluation and serving share one idea of a window, and only the served model ever sees
all of an example's windows. Read `padding.py` first, then the protocol, then a windowing:
`spans.py`, whose windows are in `span_windows.py` and whose search is in `best_spans.py`, or `patches.py`.
components/trainer/window_streams.py trains on them.
"""
