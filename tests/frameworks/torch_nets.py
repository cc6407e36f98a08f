"""A net of PyTorch by name, for tests that trust it, and trainings of it. Imports torch: only what needs it imports this."""

import torch

WIDTH = 256
INPUTS = torch.linspace(-1, 1, 16 * 8).reshape(16, 8)


class Net(torch.nn.Module):
    """A body and a head, a buffer, an embedding that is tied to a head, and a type of its own."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Linear(8, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.BatchNorm1d(width)
        )
        self.head = torch.nn.Linear(width, 8)
        self.embedding = torch.nn.Embedding(8, width)
        self.embedding.weight = self.head.weight
        self.register_buffer("scale", torch.tensor(1.5, dtype=torch.bfloat16))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (
            self.dropout(self.head(self.body(inputs))) * self.scale.float()
            + self.embedding(torch.zeros(1, dtype=torch.long)).sum()
        )


def trained(seed: int, *, head_only: bool, width: int = WIDTH) -> tuple[Net, torch.optim.Optimizer]:
    """A net from one start; with `head_only` only its head differs between seeds, otherwise all of it."""
    torch.manual_seed(0 if head_only else seed)
    net = Net(width)
    moved = [net.head.weight, net.head.bias] if head_only else list(net.parameters())
    optimizer = torch.optim.AdamW(moved, lr=0.01)
    torch.manual_seed(seed)
    net.train(not head_only)
    for _ in range(3):
        optimizer.zero_grad()
        (net(INPUTS) - torch.randn(16, 8)).square().mean().backward()
        optimizer.step()
    return net.eval(), optimizer


def predict(net: torch.nn.Module) -> object:
    with torch.no_grad():
        return net.eval()(INPUTS).numpy()
