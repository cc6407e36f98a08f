"""A model of one's own, by name. Imports transformers: only what needs it imports this."""

from transformers import BertForSequenceClassification


class OwnBert(BertForSequenceClassification):
    pass
