"""A training that touches awkward values: complex, bfloat16, empty, masked, sparse."""

import torch
from torch import nn


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 7)
        self.norm = nn.BatchNorm1d(7)
        self.coarse = nn.Linear(7, 3, dtype=torch.bfloat16)
        self.words = nn.Embedding(9, 3, sparse=False)
        self.register_buffer("nothing", torch.empty(0, 3))

    def forward(self, x, word):
        x = self.norm(self.first(x))
        spectrum = torch.fft.rfft(x, dim=1)
        x = torch.fft.irfft(spectrum * (1 + 0.5j), n=7, dim=1)
        x = self.coarse(x.bfloat16()).float() + self.words(word)
        return x.masked_fill(torch.eye(11, 3, dtype=torch.bool), float("-inf"))


def train(golden):
    model = Odd()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    golden.watch(model=model, optimizer=optimizer)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        x = torch.randn(11, 5, generator=generator)
        word = torch.randint(9, (11,), generator=generator)
        loss = torch.log_softmax(model(x, word), 1)[:, 2].exp().square().sum() + model.nothing.sum()
        loss.backward()
        optimizer.step()
        golden.step(loss=loss, batch=(x, word))
        optimizer.zero_grad()
        schedule.step()
