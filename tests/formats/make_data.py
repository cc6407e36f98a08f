"""Writes tests/formats/data with the real libraries: python tests/formats/make_data.py, in an environment with torch and safetensors."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent / "data"


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(20, 8)
        self.out = torch.nn.Linear(8, 20, bias=False)
        self.out.weight = self.embed.weight


torch.manual_seed(0)
HERE.mkdir(exist_ok=True)
net = Net()
optimizer = torch.optim.Adam(net.parameters())
net.out(net.embed(torch.arange(4))).sum().backward()
optimizer.step()
torch.save(net.state_dict(), HERE / "tied.pt")
torch.save({"optimizer": optimizer.state_dict(), "epoch": 3}, HERE / "optimizer.pt")
values = torch.arange(12, dtype=torch.float32).reshape(3, 4)
torch.save({"t": values.T, "half": values.to(torch.bfloat16), "row": values[1]}, HERE / "views.pt")
save_file({"a": values, "b": values.to(torch.bfloat16), "c": torch.arange(5)}, HERE / "three.safetensors")
np.savez(HERE / "two.npz", x=np.arange(6, dtype=np.int16), y=np.ones((2, 3)))
