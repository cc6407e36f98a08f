"""A tiny BERT with a tokenizer, made here. Imports transformers: only what needs it imports this."""

from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *["the", "model", "is", "small", "and", "works", "well", "not", "bad", "good", "a", "b", "c", "d", "e"],
]
TEXTS = ["the model is small", "not bad and works well", "good unknown words"]


def config() -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
    )


def tokenizer(folder: Path) -> BertTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return BertTokenizer(str(folder / "vocab.txt"))


def ids() -> torch.Tensor:
    return torch.arange(24).reshape(3, 8) % len(WORDS)


def classifier(seed: int) -> BertForSequenceClassification:
    """One body, and a head that is trained: what fine-tuning of a frozen model makes."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(config())
    model.bert.requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(model.classifier.parameters(), lr=0.1)
    torch.manual_seed(seed)
    model(ids(), labels=torch.randint(0, 2, (3,))).loss.backward()
    torch.nn.init.normal_(model.classifier.weight)
    optimizer.step()
    return model.eval()


def body(seed: int = 0) -> BertModel:
    torch.manual_seed(seed)
    return BertModel(config()).eval()


def logits(model: torch.nn.Module) -> object:
    with torch.no_grad():
        return model(ids()).logits.numpy()
