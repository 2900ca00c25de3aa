"""The causal graph transformer.

Reads the tokens of partial graphs (`molgen.graphs.state`) and predicts, after each step, what
comes next and where. One pass gives the predictions of all steps of a molecule at once; `extend`
gives the same numbers token by token with cached keys and values.

Shape letters: B molecules, T tokens, N atoms, D width, H heads, K = D / H, L layers, W actions,
P rows at which something is predicted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from molgen.generator.attention import attend_cached
from molgen.generator.vectors import Bits
from molgen.graphs.orders import Targets
from molgen.graphs.state import N_CODES, States, action_columns, token_limit
from molgen.graphs.vocabulary import Tables, Vocabulary

_ROWS = 32  # see `padded`
_MASKED = -1e4  # far below any bias, still finite in every float type


class Tokens(NamedTuple):
    """Input of the network.

    Attributes:
        features_BT5: atom type, bond, kind, status, position; int64.
        code_BTT: what token i's atom sees of token j's; 0 where j > i.
    """

    features_BT5: Tensor
    code_BTT: Tensor


class Goals(NamedTuple):
    """What should be predicted; see `molgen.graphs.orders.Targets`."""

    action_BT: Tensor
    pointer_BT: Tensor
    allowed_BT7: Tensor
    pointer_allowed_BTN: Tensor
    token_of_BN: Tensor


@dataclass(frozen=True)
class NetworkSize:
    """Hyper-parameters that fix the shapes of the weights."""

    width: int = 192
    n_layers: int = 6
    n_heads: int = 6
    max_atoms: int = 50


class Cache:
    """Keys and values of the tokens fed so far, for S slots with a molecule in each.

    Attributes:
        keys_values_LSTX: of every layer, keys then values, X = 2 D; of the type that the linear
            layers have, bfloat16 under `autocast`.
        pointer_keys_STD: float32.
    """

    def __init__(self, size: NetworkSize, n_slots: int, n_tokens: int) -> None:
        dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        shape = (size.n_layers, n_slots, n_tokens, 2 * size.width)
        self.keys_values_LSTX = torch.empty(shape, dtype=dtype)
        self.pointer_keys_STD = torch.empty(n_slots, n_tokens, size.width)

    def copy(self, source: Cache, source_slots: Tensor, slots: Tensor, n_tokens: int) -> None:
        """Take over the first tokens of molecules in another cache."""
        keys_values = source.keys_values_LSTX[:, source_slots, :n_tokens]
        self.keys_values_LSTX[:, slots, :n_tokens] = keys_values
        pointer_keys = source.pointer_keys_STD[source_slots, :n_tokens]
        self.pointer_keys_STD[slots, :n_tokens] = pointer_keys


class Block(nn.Module):
    """Pre-norm attention with a bias from the graph, then a feed-forward layer."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_feed = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def heads(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, H, T, K) each."""
        b, t, _ = x_BTD.shape
        qkv = self.qkv(self.norm_attention(x_BTD)).view(b, t, 3, self.n_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias_BHTT: Tensor) -> Tensor:
        """Softmax attention, back to (B, T, D)."""
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias_BHTT
        mixed = scores.softmax(-1).to(v.dtype) @ v
        out_BTD: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out_BTD

    def feed(self, x_BTD: Tensor) -> Tensor:
        """The feed-forward layer."""
        out_BTD: Tensor = self.down(F.relu(self.up(self.norm_feed(x_BTD))).square())
        return out_BTD

    def forward(self, x_BTD: Tensor, bias_BHTT: Tensor) -> Tensor:
        """One layer."""
        x_BTD = x_BTD + self.attend(*self.heads(x_BTD), bias_BHTT)
        return x_BTD + self.feed(x_BTD)


class GraphTransformer(nn.Module):
    """Partial graphs -> what comes next, and at which atom."""

    column_W: Tensor
    need_W: Tensor

    def __init__(self, vocabulary: Vocabulary, size: NetworkSize) -> None:
        super().__init__()
        self.vocabulary, self.size = vocabulary, size
        self.tables = vocabulary.tables()
        width = size.width
        self.atom_type = nn.Embedding(len(vocabulary.atom_types), width)
        self.bond = nn.Embedding(4, width)
        self.kind = nn.Embedding(4, width)
        self.status = nn.Embedding(3, width)
        self.position = nn.Embedding(token_limit(size.max_atoms), width)
        self.bias = nn.Embedding(N_CODES - 1, size.n_layers * size.n_heads)
        self.blocks = nn.ModuleList(Block(width, size.n_heads) for _ in range(size.n_layers))
        self.norm = nn.RMSNorm(width)
        self.action = nn.Embedding(vocabulary.n_actions, width)
        self.action_bias = nn.Parameter(torch.zeros(vocabulary.n_actions))
        self.pointer_query = nn.Linear(width, width)
        self.pointer_action = nn.Linear(width, width, bias=False)
        self.pointer_key = nn.Linear(width, width, bias=False)
        self.pointer_code = nn.Linear(width, N_CODES)
        column, need = _requirements(self.tables)
        self.register_buffer("column_W", column, persistent=False)
        self.register_buffer("need_W", need, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.bias.weight)
        nn.init.zeros_(self.pointer_code.weight)

    def embed(self, features_BT5: Tensor) -> Tensor:
        """Tokens without the graph, (B, T, D)."""
        kind, bond, status, position = (features_BT5[..., i] for i in (2, 1, 3, 4))
        atom = self.atom_type(features_BT5[..., 0]) * (kind > 0).unsqueeze(-1)
        x_BTD: Tensor = atom + self.bond(bond) + self.kind(kind) + self.status(status)
        x_BTD = x_BTD + self.position(position)
        return x_BTD

    def attention_bias(self, code: Tensor) -> Tensor:
        """Codes (B, T, T') -> biases (L, B, H, T, T'); code 0 is masked out."""
        table = torch.cat(
            [self.bias.weight.new_full((1, self.bias.embedding_dim), _MASKED), self.bias.weight]
        )
        bias = F.embedding(code.int(), table)
        b, t, u, _ = bias.shape
        return bias.view(b, t, u, self.size.n_layers, self.size.n_heads).permute(3, 0, 4, 1, 2)

    def forward(self, tokens: Tokens) -> Tensor:
        """Hidden states after each token, (B, T, D)."""
        x_BTD = self.embed(tokens.features_BT5)
        for block, bias_BHTT in zip(self.blocks, self.attention_bias(tokens.code_BTT), strict=True):
            x_BTD = block(x_BTD, bias_BHTT)
        h_BTD: Tensor = self.norm(x_BTD)
        return h_BTD

    def extend(
        self, features_P5: Tensor, code_PT: Tensor, slot_P: Tensor, at_P: Tensor, cache: Cache
    ) -> Tensor:
        """Feed any tokens of any molecules; same numbers as `forward`, without gradients.

        Args:
            features_P5: the new tokens; those of one molecule in order, none left out.
            code_PT: their code rows, uint8; what lies beyond each one's own token is not read.
            slot_P: each token's molecule, as its slot in the cache.
            at_P: place of the token in its molecule.
            cache: of the earlier tokens, on the CPU; written to.

        Returns:
            Hidden states (P, D).
        """
        n = len(slot_P)
        x_PD = padded(self.embed(features_P5))
        mixed_PD = torch.zeros(x_PD.shape)
        tokens = code_PT.numpy(), slot_P.numpy(), at_P.numpy(), mixed_PD.numpy()
        bias_LCH = self.bias.weight.detach().view(N_CODES - 1, self.size.n_layers, -1)
        bias_LCH = F.pad(bias_LCH, (0, 0, 0, 0, 1, 0)).transpose(0, 1).float().contiguous()
        keys_values_LSTX, shift = as_bits(cache.keys_values_LSTX)
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            qkv = block.qkv(block.norm_attention(x_PD))
            attend_cached(
                as_bits(qkv[:n])[0], keys_values_LSTX[layer], shift, bias_LCH[layer].numpy(),
                *tokens,
            )  # fmt: skip
            x_PD = x_PD + block.out(mixed_PD)
            x_PD = x_PD + block.feed(x_PD)
        h_PD: Tensor = self.norm(x_PD)
        cache.pointer_keys_STD[slot_P, at_P] = self.pointer_key(h_PD)[:n].float()
        return h_PD[:n]

    def action_products(self, h_PD: Tensor) -> Tensor:
        """Logits of what comes next before their bias and any mask, (P, W)."""
        return F.linear(h_PD, self.action.weight.to(h_PD.dtype))

    def action_logits(self, h_PD: Tensor, allowed_P7: Tensor) -> Tensor:
        """Masked logits of what comes next, (P, W) float32."""
        logits = self.action_products(h_PD).float() + self.action_bias
        legal = allowed_P7[:, self.column_W] >= self.need_W
        return logits.masked_fill(~legal, float("-inf"))

    def pointer_queries(self, h_TD: Tensor, action_T: Tensor) -> Tensor:
        """What an action after a hidden state looks for in an atom, (…, T, D)."""
        query_TD: Tensor = self.pointer_query(h_TD) + self.pointer_action(self.action(action_T))
        return query_TD

    def pointer_scores(
        self, h_BTD: Tensor, action_BT: Tensor, keys_BND: Tensor, code_BTN: Tensor,
        allowed_BTN: Tensor,
    ) -> Tensor:  # fmt: skip
        """Masked logits of where an action goes, (B, T, N) float32.

        Args:
            h_BTD: hidden states at the steps.
            action_BT: the actions.
            keys_BND: pointer keys of the tokens that stand for the atoms.
            code_BTN: what the steps' tokens see of the atoms.
            allowed_BTN: 1 where the action may go.
        """
        query_BTD = self.pointer_queries(h_BTD, action_BT)
        scores_BTN: Tensor = (query_BTD.to(keys_BND.dtype) @ keys_BND.transpose(1, 2)).float()
        # An atom's key dates from when it was added; how far it is by now, the code tells.
        scores_BTN = scores_BTN * self.size.width**-0.5
        scores_BTN = scores_BTN + self.pointer_code(query_BTD).float().gather(2, code_BTN)
        return scores_BTN.masked_fill(allowed_BTN == 0, float("-inf"))

    def log_prob(
        self, tokens: Tokens, goals: Goals, *, forward: Callable[[Tokens], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of each recorded step, in nats.

        Args:
            tokens: as for `forward`.
            goals: what is to be predicted.
            forward: does what `self.forward` does, compiled for instance.

        Returns:
            Of the actions and of the pointers, (B, T) each; 0 where nothing is predicted.
        """
        h_BTD = (forward or self.forward)(tokens)
        predicted = goals.action_BT >= 0
        action_P = goals.action_BT[predicted]
        logits = self.action_logits(h_BTD[predicted], goals.allowed_BT7[predicted])
        action_BT = h_BTD.new_zeros(predicted.shape, dtype=torch.float32)
        action_BT[predicted] = logits.log_softmax(-1).gather(1, action_P[:, None])[:, 0]
        pointed = goals.pointer_BT >= 0
        pointer_BT = torch.zeros_like(action_BT)
        keys_BND = atoms_of(self.pointer_key(h_BTD), goals.token_of_BN)
        steps = goals.token_of_BN[:, None].expand(-1, pointed.shape[1], -1)
        where_BTN = self.pointer_scores(
            h_BTD, goals.action_BT.clamp(min=0), keys_BND, tokens.code_BTT.gather(2, steps),
            goals.pointer_allowed_BTN,
        )  # fmt: skip
        chosen_P1 = goals.pointer_BT[pointed][:, None]
        pointer_BT[pointed] = where_BTN[pointed].log_softmax(-1).gather(1, chosen_P1)[:, 0]
        return action_BT, pointer_BT


def atoms_of(x_BTD: Tensor, token_of_BN: Tensor) -> Tensor:
    """The rows of the tokens that stand for the atoms, (B, N, D)."""
    return x_BTD.gather(1, token_of_BN[..., None].expand(-1, -1, x_BTD.shape[-1]))


def _requirements(tables: Tables) -> tuple[Tensor, Tensor]:
    """For each action the entry of `allowed_actions` it needs and how much of it."""
    need = tables.action_W["size"].clip(1).astype(np.int16)
    return torch.from_numpy(action_columns(tables)), torch.from_numpy(need)


def padded(x_PD: Tensor) -> Tensor:
    """More rows, of zeros, to a full multiple: a matrix product of a new shape is slow at first."""
    return F.pad(x_PD, (0, 0, 0, -len(x_PD) % _ROWS))


def as_bits(x: Tensor) -> tuple[Bits, np.uint32]:
    """The numbers' bits, without a copy, and the shift that `widen` needs for them."""
    half = x.dtype == torch.bfloat16
    bits: Bits = x.view(torch.uint16 if half else torch.uint32).numpy()
    return bits, np.uint32(16 if half else 0)


def to_tensors(states: States, targets: Targets) -> tuple[Tokens, Goals]:
    """A batch of built graphs, cut to the longest of them."""
    n, t = int(states["n_atoms"].max()), int(states["n_tokens"].max())
    goals = Goals(
        torch.from_numpy(targets["action"][:, :t].astype(np.int64)),
        torch.from_numpy(targets["pointer"][:, :t].astype(np.int64)),
        torch.from_numpy(targets["allowed"][:, :t].copy()),
        torch.from_numpy(targets["pointer_allowed"][:, :t, :n].copy()),
        torch.from_numpy(np.clip(states["token_of"][:, :n], 0, t - 1).astype(np.int64)),
    )
    return Tokens(
        token_features(states, 0, t), torch.from_numpy(np.tril(states["code"][:, :t, :t])).long()
    ), goals


def token_features(states: States, first: int, last: int) -> Tensor:
    """Features of tokens first..last-1 of each graph, (B, last - first, 5) int64."""
    columns = ("token_type", "token_bond", "token_kind", "token_status")
    parts = [states[c][:, first:last].astype(np.int64) for c in columns]
    return torch.from_numpy(
        np.stack([*parts, np.broadcast_to(np.arange(first, last), parts[0].shape)], -1)
    )


def has_bfloat16(device: str) -> bool:
    """Whether a kind of device has instructions for bfloat16.

    Without them a CPU's products of bfloat16 take many times as long as those of float32.
    """
    return device != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))


@contextlib.contextmanager
def autocast(bfloat16: bool | None, device: str = "cpu") -> Iterator[None]:
    """bfloat16 matrix products on a kind of device, or nothing; None: if it has instructions."""
    enabled = has_bfloat16(device) if bfloat16 is None else bfloat16
    with torch.autocast(device, dtype=torch.bfloat16, enabled=enabled):
        yield
