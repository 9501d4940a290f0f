"""A split network in memory, without protection: what each role would have received, as views.

One first layer per party, sigmoid, one hidden layer, a binary or multiclass head, plain gradient descent on
mini-batches. It is the numbers of a run without its processes.
"""

import numpy as np

from kernel.batch_order import batch_seed, batches, epoch_order
from party.assessment.view import View


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def train_views(
    blocks, labels, *, width=8, last=8, epochs=10, batch_rows=None, rate=0.5, reveal_h1=False, relu=False, seed=0
):
    """Trains on the parties' encoded ``blocks`` (the first party holds ``labels``) and returns their views.

    Returns the neutral server's view, the label holder's, and one of each feature holder.
    """
    generator = np.random.default_rng([7, seed])
    n = len(labels)
    outputs = 1 if labels.max() == 1 else int(labels.max()) + 1
    wanted = labels[:, None].astype(float) if outputs == 1 else np.eye(outputs)[labels]
    x = np.concatenate(blocks, axis=1).astype(float)
    theta = generator.normal(size=(x.shape[1], width)) / np.sqrt(x.shape[1])
    middle = generator.normal(size=(width, last)) / np.sqrt(width)
    head = generator.normal(size=(last, outputs)) / np.sqrt(last)
    bias, middle_bias, head_bias = np.zeros(width), np.zeros(last), np.zeros(outputs)
    act = (lambda v: np.maximum(v, 0)) if relu else sigmoid
    slope = (lambda h: (h > 0) * 1.0) if relu else (lambda h: h * (1 - h))
    kept = {
        name: np.zeros((epochs, n, size), np.float32)
        for name, size in (("z1", width), ("h1", width), ("h_last", last), ("head", last), ("cut", width))
    }
    for epoch in range(epochs):
        order = epoch_order(np.arange(n), batch_seed(seed, epoch))
        for rows in batches(order, batch_rows or n):
            z1 = x[rows] @ theta
            h1 = act(z1 + bias)
            h_last = act(h1 @ middle + middle_bias)
            logits = h_last @ head + head_bias
            if outputs == 1:
                guess = sigmoid(logits)
            else:
                guess = np.exp(logits - logits.max(axis=1, keepdims=True))
                guess /= guess.sum(axis=1, keepdims=True)
            delta = (guess - wanted[rows]) / len(rows)
            to_head = delta @ head.T
            to_middle = to_head * slope(h_last)
            to_cut = (to_middle @ middle.T) * slope(h1)
            for name, value in (("z1", z1), ("h1", h1), ("h_last", h_last), ("head", to_head), ("cut", to_cut)):
                kept[name][epoch, rows] = value
            head -= rate * h_last.T @ delta
            head_bias -= rate * delta.sum(axis=0)
            middle -= rate * h1.T @ to_middle
            middle_bias -= rate * to_middle.sum(axis=0)
            theta -= rate * x[rows].T @ to_cut
            bias -= rate * to_cut.sum(axis=0)
    rows = np.arange(n, dtype=np.int64)
    views = [
        View(
            role="neutral-server",
            name="neutral-server",
            rows=rows,
            z1=kept["z1"],
            h1=kept["h1"],
            h_last=kept["h_last"],
            head_gradient=kept["head"],
            cut_gradient=kept["cut"],
        )
    ]
    start = 0
    for number, block in enumerate(blocks):
        own = theta[start : start + block.shape[1]].astype(np.float32)
        start += block.shape[1]
        views.append(
            View(
                role="feature-holder" if number else "label-holder",
                name=f"party-{'abcdefgh'[number]}",
                rows=rows,
                h1=kept["h1"] if reveal_h1 else None,
                h_last=None if number else kept["h_last"],
                cut_gradient=kept["cut"],
                own_rows=block.astype(np.float32),
                own_weights=own,
            )
        )
    return views
