"""Raw features to model features, by one function for training and serving.

In go the raw features of a task, as its source reads them: strings, pixels, labels. Out come the tensors
that its model takes, and the requests that a server answers. `images`, `volumes` and `text.wordpiece` each
hold one preprocessing; tf.Transform traces it, and the graph travels inside the served model. Start with
`images`, the smallest one.
"""
