"""A module of Lightning by name. Imports it: only what needs it imports this."""

import lightning.pytorch as pl
import torch

INPUTS = torch.linspace(-1, 1, 32 * 4).reshape(32, 4)


class Regressor(pl.LightningModule):
    def __init__(self, width: int = 8, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.net(inputs)

    def training_step(self, batch: tuple[torch.Tensor, ...], index: int) -> torch.Tensor:
        return (self(batch[0]) - batch[1]).square().mean()

    def configure_optimizers(self) -> object:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}


def batches() -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(INPUTS, INPUTS.sum(1, keepdim=True)), batch_size=8)
