"""What a pickled learner names. Imports torch: only what needs it imports this."""

import torch


class Rows(torch.utils.data.TensorDataset):
    def new_empty(self) -> "Rows":
        return Rows(*(tensor[:0] for tensor in self.tensors))


def loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (predicted - target).square().mean()
