"""A module of Flax by name. Imports it: only what needs it imports this."""

from flax import nnx


class Net(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.body = nnx.Linear(8, 256, rngs=rngs)
        self.norm = nnx.BatchNorm(256, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(256, 2, rngs=rngs)

    def __call__(self, inputs: object) -> object:
        return self.head(self.dropout(nnx.relu(self.norm(self.body(inputs)))))
