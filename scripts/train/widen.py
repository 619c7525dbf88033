"""Widens an AutoencoderKL without changing what it computes (Net2Wider, Chen et al. 2016), so that its decoder can learn more.

diffusers gives encoder and decoder the same widths, so both are widened; only the decoder is trained on (refine.py). Every channel
becomes as many neighbouring copies; a layer that reads copies shares its old weight among them. Group norms see the same statistics,
since a group's channels all get the same number of copies. What the copies are read with differs by amounts that cancel out: equal
copies would stay equal for ever.
"""
import torch
from diffusers import AutoencoderKL

UNEVEN = 0.5  # standard deviation of how unequally copies are read, relative to the layer's weights


def times(new, old, name):
    """How many copies of each channel there are."""
    if new % old:
        raise ValueError(f"{name}: {new} channels are not a multiple of {old}")
    return new // old


def spread(weight, rows, columns, generator):
    """A layer's weight [O, I, ...] for `rows` copies of its outputs and `columns` copies of its inputs."""
    wide = weight.repeat_interleave(rows, 0).repeat_interleave(columns, 1) / columns
    if columns > 1:
        shape = (wide.shape[0], weight.shape[1], columns, *weight.shape[2:])
        uneven = torch.randn(shape, generator=generator)
        uneven -= uneven.mean(2, keepdim=True)  # the copies of one input cancel out
        wide += UNEVEN * weight.std() / columns * uneven.flatten(1, 2)
    return wide


@torch.no_grad()
def widen(before, channels, seed=0):
    """An AutoencoderKL of the widths `channels`, each a multiple of those of `before`, that encodes and decodes the same.

    Raises ValueError where a width is no multiple, or where two that differed become one.
    """
    after = AutoencoderKL.from_config(dict(before.config) | {"block_out_channels": tuple(channels)})
    generator, known, state = torch.Generator().manual_seed(seed), before.state_dict(), after.state_dict()
    if gone := known.keys() - state.keys():
        raise ValueError(f"{', '.join(sorted(gone))}: widths that differ must go on doing so")
    for name, target in state.items():
        if name not in known:  # a level's widths were equal and no longer are: its shortcut was the identity
            if not name.endswith("conv_shortcut.weight"):
                state[name] = torch.zeros_like(target)
                continue
            conv = known[name.replace("conv_shortcut", "conv1")]
            source = torch.eye(conv.shape[1])[:, :, None, None]
        else:
            source = known[name].float()
        rows = times(target.shape[0], source.shape[0], name)
        if source.dim() == 1:
            state[name] = source.repeat_interleave(rows)
            continue
        columns = times(target.shape[1], source.shape[1], name)
        wide = spread(source, rows, columns, generator)
        if name.endswith("to_q.weight"):  # scores sum over copies and are divided by the root of their number: of either once
            wide *= rows ** -0.5
        state[name] = wide
    for name in state:
        if name.endswith("to_q.bias"):
            state[name] *= times(len(state[name]), len(known[name]), name) ** -0.5
    after.load_state_dict(state)
    return after
